-- put_group, group, owed_callbacks, settle_callbacks.

-- header: {group, tenant, name, whether there is a callback, whether to close it}; blob: msgpack of the callback.
-- Returns nothing; the flat fields of its record lie beside.
local function put_group(keys, args)
  local step = begin(keys, args)
  local id, tenant, name, has_callback, close = unpack(step.header)
  local key = step.prefix .. 'group:' .. id
  ensure_group(step, id, tenant, name)
  local callback = blob(step)
  if has_callback then
    redis.call('HSET', key, 'callback', callback)
  end
  if close then
    redis.call('HSETNX', key, 'closed_at', int(step.now))
  end
  step.groups[id] = {}
  flush(step)
  return answer(step, true, redis.call('HGETALL', key))
end

-- header: {group}. Returns the flat fields of its record.
local function group(keys, args)
  local step = begin(keys, args)
  return redis.call('HGETALL', step.prefix .. 'group:' .. step.header[1])
end

-- header: {limit}. Returns of each, oldest first: {kind, when, the facts of the task's spec and its uuid and attempt, or the tenant
-- and the name of the group and '0'}.
local function owed_callbacks(keys, args)
  local step = begin(keys, args)
  local prefix = step.prefix
  local owed = redis.call('ZRANGE', prefix .. 'owed', 0, step.header[1] - 1, 'WITHSCORES')
  local rows = {}
  for i = 1, #owed, 2 do
    local attempt, uuid = owed[i]:match('^t:(%d+):%d+:(.*)$')
    if attempt then
      local facts = redis.call('HGET', prefix .. 'task:' .. uuid, 'facts')
      rows[#rows + 1] = { 'task', owed[i + 1], facts and redis.call('GETRANGE', prefix .. 'spec:' .. uuid, facts, -1), uuid, attempt }
    else
      local row = redis.call('HMGET', prefix .. 'group:' .. owed[i]:sub(3), 'tenant', 'name')
      rows[#rows + 1] = { 'group', owed[i + 1], row[1], row[2], '0' }
    end
  end
  return rows
end

local function settle_group_callback(step, id)
  if redis.call('ZREM', step.prefix .. 'owed', 'g:' .. id) == 1 then
    step.groups[id] = step.groups[id] or {}
  end
end

-- The members of `owed` of this time, by attempt and uuid. A task that was retried by hand may owe two of one attempt.
local function owed_at(step, at)
  local found = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', step.prefix .. 'owed', int(at), int(at))) do
    local attempt, uuid = member:match('^t:(%d+):%d+:(.*)$')
    if attempt then
      local whose = attempt .. ':' .. uuid
      found[whose] = found[whose] or {}
      table.insert(found[whose], member)
    end
  end
  return found
end

local function settle_task_callbacks(step, uuid, members)
  local task = load(step, uuid)
  redis.call('ZREM', step.prefix .. 'owed', unpack(members))
  local left = task and (task.calls or 0) - #members or 0
  if left > 0 then
    put(task, 'calls', left)
  elseif task then
    clear(task, 'calls')
  end
end

-- header: a list of {group or false, uuid or false, attempt, when}.
local function settle_callbacks(keys, args)
  local step = begin(keys, args)
  local times = {}
  for _, item in ipairs(step.header) do
    local id, uuid, attempt, at = unpack(item)
    if id then
      settle_group_callback(step, id)
    else
      times[at] = times[at] or owed_at(step, at)
      local whose = int(attempt) .. ':' .. uuid
      if times[at][whose] then
        settle_task_callbacks(step, uuid, times[at][whose])
        times[at][whose] = nil
      end
    end
  end
  return reply(step, true)
end

verb('put_group', put_group, 'allow-oom')
verb('settle_callbacks', settle_callbacks, 'allow-oom')
verb('group', group, 'no-writes')
verb('owed_callbacks', owed_callbacks, 'no-writes')
