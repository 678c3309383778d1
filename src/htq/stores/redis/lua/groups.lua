--[[
Groups, and the callbacks that they and tasks owe. A group's record, the hash P group:<group>:

tenant, name, created_at, closed_at, completed_at
callback        msgpack of htq.words.callback.Callback
scheduled, queued, pending, success, error, timeout, canceled: its tasks by state
]]

local STATES = { 'scheduled', 'queued', 'pending', 'success', 'error', 'timeout', 'canceled' }

-- A task of a group goes from a state to another; nil: it is new, or forgotten.
local function count_group(step, group, from, to)
  local counts = step.groups[group]
  if not counts then
    counts = {}
    step.groups[group] = counts
  end
  if from then
    counts[from] = (counts[from] or 0) - 1
  end
  if to then
    counts[to] = (counts[to] or 0) + 1
  end
end

local function owe_callback(step, member)
  redis.call('ZADD', step.prefix .. 'owed', int(step.now), member)
  step.todo = true
end

-- A task has ended: its callback is owed, if it tells of such an end.
local function owe_task_callback(step, task)
  if task.callback and task.callback:find(' ' .. task.state .. ' ', 1, true) then
    owe_callback(step, 't:' .. int(task.attempt or 0) .. ':' .. int(task.version or 0) .. ':' .. task.uuid)
    put(task, 'calls', (task.calls or 0) + 1)
  end
end

-- A group that nothing can happen to any more goes with the next `forget`.
local function note_over(step, group, total, closed)
  local over = step.prefix .. 'groups:over'
  if total == 0 and closed and not redis.call('ZSCORE', step.prefix .. 'owed', 'g:' .. group) then
    redis.call('ZADD', over, 0, group)
  else
    redis.call('ZREM', over, group)
  end
end

local function ensure_group(step, group, tenant, name)
  local key = step.prefix .. 'group:' .. group
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'tenant', tenant, 'name', name, 'created_at', int(step.now))
  end
end

local function is_closed(step, group)
  return redis.call('HEXISTS', step.prefix .. 'group:' .. group, 'closed_at') == 1
end

-- Count, and complete what is closed and has nothing alive.
local function write_group(step, group, differences)
  local key = step.prefix .. 'group:' .. group
  local counts = redis.call('HMGET', key, unpack(STATES))
  local fields, live, total = {}, 0, 0
  for i, state in ipairs(STATES) do
    local now = (tonumber(counts[i] or nil) or 0) + (differences[state] or 0)
    total = total + now
    live = live + (LIVE[state] and now or 0)
    if differences[state] and differences[state] ~= 0 then
      fields[#fields + 1] = state
      fields[#fields + 1] = int(now)
    end
  end
  many('HSET', key, fields)
  local row = redis.call('HMGET', key, 'closed_at', 'completed_at', 'callback', 'name')
  if row[1] and not row[2] and live == 0 then
    redis.call('HSET', key, 'completed_at', int(step.now))
    step.completed[#step.completed + 1] = row[4]
    if row[3] then
      owe_callback(step, 'g:' .. group)
    end
  end
  note_over(step, group, total, row[1])
end

local function write_groups(step)
  for group, differences in pairs(step.groups) do
    write_group(step, group, differences)
  end
end
