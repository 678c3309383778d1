-- cancel, delete_response, and what has to be done now and then, by anybody: promote, forget.

-- header: a list of {uuid, reason or false}. Returns the states after it, '' for an unknown task.
local function cancel(keys, args)
  local step = begin(keys, args)
  local answers = {}
  for i, item in ipairs(step.header) do
    local task = load(step, item[1])
    if task then
      cancel_task(step, task, item[2])
    end
    answers[i] = task and task.state or ''
  end
  return reply(step, answers)
end

-- header: a list of uuids. Returns booleans.
local function delete_response(keys, args)
  local step = begin(keys, args)
  local answers = {}
  for i, uuid in ipairs(step.header) do
    local task = load(step, uuid)
    answers[i] = task ~= nil and task.response ~= nil
    if task then
      drop_response(step, task)
    end
  end
  return reply(step, answers)
end

-- header: {limit}. Returns how many scheduled tasks were queued, and when the next one is due (0: none is).
local function promote(keys, args)
  local step = begin(keys, args)
  local due = redis.call('ZRANGEBYSCORE', step.prefix .. 'due', '-inf', int(step.now), 'LIMIT', 0, step.header[1])
  for _, uuid in ipairs(due) do
    local task = load(step, uuid)
    if task then
      to_queued(task)
    end
  end
  local next_due = redis.call('ZRANGE', step.prefix .. 'due', #due, #due, 'WITHSCORES')
  return reply(step, { #due, tonumber(next_due[2]) or 0 })
end

-- header: {limit}. Returns how many tasks were past a time of theirs, and when the next one will be (0: none will).
local function expire(keys, args)
  local step = begin(keys, args)
  local key = step.prefix .. 'expire'
  local over = redis.call('ZRANGEBYSCORE', key, '-inf', int(step.now), 'LIMIT', 0, step.header[1])
  for _, uuid in ipairs(over) do
    local task = load(step, uuid)
    if not (task and end_overdue(step, task)) then
      drop(step, key, uuid)
    end
  end
  local next_one = redis.call('ZRANGE', key, #over, #over, 'WITHSCORES')
  return reply(step, { #over, tonumber(next_one[2]) or 0 })
end

-- Remove what else is over by its time, at most `limit` of each: idempotency keys, records of lanes without tasks.
local function forget_times(step, limit)
  local prefix = step.prefix
  local keys = redis.call('ZRANGEBYSCORE', prefix .. 'once:until', '-inf', int(step.now), 'LIMIT', 0, limit)
  many('HDEL', prefix .. 'once', keys)
  many('ZREM', prefix .. 'once:until', keys)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'faded', '-inf', int(step.now), 'LIMIT', 0, limit)) do
    redis.call('ZREM', prefix .. 'faded', id)
    fade_lane(step, id)
  end
end

local function forget_groups(step, limit)
  local over = step.prefix .. 'groups:over'
  for _, group in ipairs(redis.call('ZRANGE', over, 0, limit - 1)) do
    redis.call('DEL', step.prefix .. 'group:' .. group)
    redis.call('ZREM', over, group)
  end
end

-- header: {limit}. Returns how many final tasks were removed. One with an unsettled stop, or whose callback is owed, is not in `keep`.
local function forget(keys, args)
  local step = begin(keys, args)
  local prefix = step.prefix
  local uuids = redis.call('ZRANGEBYSCORE', prefix .. 'keep', '-inf', int(step.now), 'LIMIT', 0, step.header[1])
  local gone = {}
  for _, uuid in ipairs(uuids) do
    local task = redis.call('HMGET', prefix .. 'task:' .. uuid, 'state', 'spooled', 'beside', 'name', 'blocked_by', 'group')
    for _, kind in ipairs({ 'task:', 'spec:', 'response:', 'attempts:', 'stop:' }) do
      gone[#gone + 1] = prefix .. kind .. uuid
    end
    if task[2] then
      gone[#gone + 1] = body_key(step, uuid, tonumber(task[2]), 'response')
    end
    if task[3] then
      gone[#gone + 1] = body_key(step, uuid, 0, 'request')
    end
    drop(step, prefix .. 'keep', uuid)
    if task[4] and redis.call('HGET', prefix .. 'names', task[4]) == uuid then
      step.names[task[4]] = task[5]
    end
    if task[1] then
      drop(step, prefix .. 'by:' .. task[1], uuid)
      if task[6] then
        count_group(step, task[6], task[1], nil)
      end
    end
  end
  unlink(gone)
  forget_times(step, step.header[1])
  flush(step)
  forget_groups(step, step.header[1])
  return answer(step, #uuids)
end

-- The layout before this one had no counts of lanes: what is alive in it can't be taken over, what has ended can.
local FORMER = 2

-- header: {schema: the layout that these functions know}. Returns that of the instance. A new one is marked with it, and so is one of
-- the former layout in which nothing is alive.
local function adopt(keys, args)
  local step = begin(keys, args)
  local meta, schema = step.prefix .. 'meta', step.header[1]
  local found = tonumber(redis.call('HGET', meta, 'schema') or nil)
  if not found or found == FORMER and redis.call('EXISTS', step.prefix .. 'queues') == 0 then
    found = schema
    redis.call('HSET', meta, 'schema', int(schema))
  end
  return reply(step, found)
end

verb('adopt', adopt, 'allow-oom')
verb('cancel', cancel, 'allow-oom')
verb('delete_response', delete_response, 'allow-oom')
verb('promote', promote, 'allow-oom')
verb('forget', forget, 'allow-oom')
verb('expire', expire, 'allow-oom')
