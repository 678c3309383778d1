--[[
Schedules. A schedule's record, the hash P schedule:<schedule>:

spec            msgpack of htq.words.schedule.Schedule, as it was put
tenant          digest of its tenant
paused          1: it is
created_at, revision, next_at, last_at, last_uuid: in place of what the spec says
]]

local SHOWN = { 'spec', 'created_at', 'revision', 'next_at', 'last_at', 'last_uuid' }

local function schedule_row(step, id)
  return redis.call('HMGET', step.prefix .. 'schedule:' .. id, unpack(SHOWN))
end

-- The slot that a schedule waits for is another one.
local function set_slot(step, id, next_at, paused)
  local key = step.prefix .. 'schedule:' .. id
  if next_at then
    redis.call('HSET', key, 'next_at', int(next_at))
  else
    redis.call('HDEL', key, 'next_at')
  end
  if next_at and not paused then
    redis.call('ZADD', step.prefix .. 'slots', int(next_at), id)
    todo_at(step, next_at)
  else
    redis.call('ZREM', step.prefix .. 'slots', id)
  end
end

-- header: {schedule, tenant, created_at, next_at or false, last_at or false, last_uuid or false, paused}; blob: the spec.
-- Returns nothing; its row lies beside.
local function put_schedule(keys, args)
  local step = begin(keys, args)
  local id, tenant, created_at, next_at, last_at, last_uuid, paused = unpack(step.header)
  local key = step.prefix .. 'schedule:' .. id
  local revision = redis.call('HINCRBY', step.prefix .. 'meta', 'revisions', 1)
  if redis.call('HSETNX', key, 'created_at', int(created_at)) == 1 then
    redis.call('SADD', step.prefix .. 'schedules:' .. tenant, id)
    if last_at then
      redis.call('HSET', key, 'last_at', int(last_at))
    end
    if last_uuid then
      redis.call('HSET', key, 'last_uuid', last_uuid)
    end
  end
  redis.call('HSET', key, 'spec', blob(step), 'tenant', tenant, 'revision', int(revision))
  if paused then
    redis.call('HSET', key, 'paused', '1')
  else
    redis.call('HDEL', key, 'paused')
  end
  set_slot(step, id, next_at or nil, paused)
  return reply(step, true, schedule_row(step, id))
end

-- header: {tenant}. Returns rows.
local function schedules(keys, args)
  local step = begin(keys, args)
  local rows = {}
  for i, id in ipairs(redis.call('SMEMBERS', step.prefix .. 'schedules:' .. step.header[1])) do
    rows[i] = schedule_row(step, id)
  end
  return rows
end

-- header: {schedule, tenant}. Returns whether there was one.
local function delete_schedule(keys, args)
  local step = begin(keys, args)
  local id, tenant = step.header[1], step.header[2]
  redis.call('SREM', step.prefix .. 'schedules:' .. tenant, id)
  redis.call('ZREM', step.prefix .. 'slots', id)
  return reply(step, redis.call('DEL', step.prefix .. 'schedule:' .. id) == 1)
end

-- header: {limit}. Returns the time, the rows of those whose slot has come, and when the next of the others comes, or nothing.
local function due_schedules(keys, args)
  local step = begin(keys, args)
  local due = redis.call('ZRANGEBYSCORE', step.prefix .. 'slots', '-inf', int(step.now), 'LIMIT', 0, step.header[1])
  local rows = {}
  for i, id in ipairs(due) do
    rows[i] = schedule_row(step, id)
  end
  return { int(step.now), rows, redis.call('ZRANGE', step.prefix .. 'slots', #due, #due, 'WITHSCORES')[2] or false }
end

-- header: {list of {schedule, revision, slot, last_at, next_at or false, Arrival or false}, {queue -> its name}, {lane -> its key}};
-- blobs: as for `enqueue`. Returns of each what `enqueue_one` does, or true: there was nothing to do.
local function fire(keys, args)
  local step = begin(keys, args)
  step.new_names, step.new_keys = step.header[2], step.header[3]
  local answers = {}
  for i, firing in ipairs(step.header[1]) do
    local id, revision, slot, last_at, next_at, item = unpack(firing)
    local key = step.prefix .. 'schedule:' .. id
    local row = redis.call('HMGET', key, 'revision', 'next_at', 'paused')
    answers[i] = true
    if tonumber(row[1]) == revision and tonumber(row[2]) == slot then
      redis.call('HSET', key, 'last_at', int(last_at))
      set_slot(step, id, next_at or nil, row[3])
      if item then
        answers[i] = enqueue_one(step, item)
        if not answers[i] or answers[i][1] == 'created' then
          redis.call('HSET', key, 'last_uuid', item.uuid)
        end
      end
    elseif item then
      skip_blobs(step, 1 + (item.chunks or 0))
    end
  end
  return reply(step, answers)
end

verb('put_schedule', put_schedule)
verb('delete_schedule', delete_schedule, 'allow-oom')
verb('fire', fire)
verb('schedules', schedules, 'no-writes')
verb('due_schedules', due_schedules, 'no-writes')
