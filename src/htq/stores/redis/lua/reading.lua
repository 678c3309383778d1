-- What is only read. These functions write nothing, so they work on a store that is full.

-- Each task of `uuids` as {the flat fields of its hash, its spec}; {{}, nothing} if it is unknown.
local function records(prefix, uuids)
  local out = {}
  for i, uuid in ipairs(uuids) do
    out[i] = { redis.call('HGETALL', prefix .. 'task:' .. uuid), redis.call('GET', prefix .. 'spec:' .. uuid) }
  end
  return out
end

-- header: a list of uuids.
local function get(keys, args)
  local step = begin(keys, args)
  return records(step.prefix, step.header)
end

-- header: a list of uuids. Returns {state, cancel_at} of each.
local function states(keys, args)
  local step = begin(keys, args)
  local out = {}
  for i, uuid in ipairs(step.header) do
    out[i] = redis.call('HMGET', step.prefix .. 'task:' .. uuid, 'state', 'cancel_at')
  end
  return out
end

-- header: a list of uuids. Returns the msgpack of each response, or nothing.
local function responses(keys, args)
  local step = begin(keys, args)
  local out = {}
  for i, uuid in ipairs(step.header) do
    out[i] = redis.call('GET', step.prefix .. 'response:' .. uuid)
  end
  return out
end

-- header: {uuid}. Returns {state, attempt, session, claimed_at} of the task, the elements of its ended attempts, and the flat fields
-- of its stops.
local function attempts(keys, args)
  local step = begin(keys, args)
  local uuid = step.header[1]
  return {
    redis.call('HMGET', step.prefix .. 'task:' .. uuid, 'state', 'attempt', 'session', 'claimed_at'),
    redis.call('LRANGE', step.prefix .. 'attempts:' .. uuid, 0, -1),
    redis.call('HGETALL', step.prefix .. 'stop:' .. uuid),
  }
end

-- At most this many scheduled tasks that are due already, and not promoted yet, are shown among the queued ones.
local DUE_SHOWN = 1000

-- The uuids of the first tasks in the order of uuids. header: {list of statuses, or nothing: what is queued and due, uuid to start
-- after or '', limit}.
local function page_of(step)
  local statuses, after, limit = unpack(step.header)
  local found = {}
  local function look(status)
    local from = after == '' and '-' or '(' .. after
    for _, uuid in ipairs(redis.call('ZRANGE', step.prefix .. 'by:' .. status, from, '+', 'BYLEX', 'LIMIT', 0, limit)) do
      found[#found + 1] = uuid
    end
  end
  if #statuses == 0 then
    look('queued')
    local due = redis.call('ZRANGEBYSCORE', step.prefix .. 'due', '-inf', int(step.now), 'LIMIT', 0, DUE_SHOWN)
    for _, uuid in ipairs(due) do
      if uuid > after then
        found[#found + 1] = uuid
      end
    end
  end
  for _, status in ipairs(statuses) do
    look(status)
  end
  table.sort(found)
  local page = {}
  for i = 1, math.min(limit, #found) do
    page[i] = found[i]
  end
  return page
end

-- header: see page_of. Returns uuids, and their records.
local function list_tasks(keys, args)
  local step = begin(keys, args)
  local page = page_of(step)
  return { page, records(step.prefix, page) }
end

-- header: see page_of. Returns uuids, and of each what filters look at: {created_at, the facts}.
local function select_tasks(keys, args)
  local step = begin(keys, args)
  local page = page_of(step)
  local facts = {}
  for i, uuid in ipairs(page) do
    local fields = redis.call('HMGET', step.prefix .. 'task:' .. uuid, 'created_at', 'facts')
    facts[i] = { fields[1], fields[2] and redis.call('GETRANGE', step.prefix .. 'spec:' .. uuid, fields[2], -1) }
  end
  return { page, facts }
end

-- Returns {name, scheduled, queued, pending, when the task at the front of the line was created} of each queue with live tasks.
local function stats(keys, args)
  local step = begin(keys, args)
  local prefix = step.prefix
  local out = {}
  for i, queue in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
    local row = redis.call('HMGET', prefix .. 'queue:' .. queue, 'name', 'scheduled', 'queued', 'pending')
    local lane = redis.call('ZRANGE', prefix .. 'line:' .. queue, 0, 0)[1]
      or redis.call('ZRANGE', prefix .. 'full:' .. queue, 0, 0)[1]
    local uuid = lane and redis.call('ZRANGE', prefix .. 'lane:' .. lane, 0, 0)[1]
    row[5] = uuid and redis.call('HGET', prefix .. 'task:' .. uuid, 'created_at') or false
    out[i] = row
  end
  return out
end

-- Returns the flat fields of `settings` and of `paused`.
local function queues(keys, args)
  local step = begin(keys, args)
  return { redis.call('HGETALL', step.prefix .. 'settings'), redis.call('HGETALL', step.prefix .. 'paused') }
end

verb('get', get, 'no-writes')
verb('states', states, 'no-writes')
verb('responses', responses, 'no-writes')
verb('attempts', attempts, 'no-writes')
verb('list_tasks', list_tasks, 'no-writes')
verb('select', select_tasks, 'no-writes')
verb('stats', stats, 'no-writes')
verb('queues', queues, 'no-writes')
