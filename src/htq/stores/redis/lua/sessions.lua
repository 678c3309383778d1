-- Sessions: a worker's leased presence, and what becomes of that which it holds when it ends.

local LOST = { err = 'HTQLOST the lease of this session is over' }

-- The session's fields in the order of `...`, or nothing if its lease is over.
local function leased(step, session, ...)
  local until_ = redis.call('ZSCORE', step.prefix .. 'sessions', session)
  if not until_ or tonumber(until_) <= step.now then
    return nil
  end
  return redis.call('HMGET', step.prefix .. 'session:' .. session, ...)
end

-- header: {session, lease_ms}; blob: info.
local function open_session(keys, args)
  local step = begin(keys, args)
  local session, lease = step.header[1], step.header[2]
  redis.call('HSET', step.prefix .. 'session:' .. session, 'info', blob(step))
  redis.call('ZADD', step.prefix .. 'sessions', int(step.now + lease), session)
  return reply(step, true)
end

-- header: {session, lease_ms}. Returns its cancels: {{uuid, attempt, reason or false, whether a stop was written}, ...}.
local function heartbeat(keys, args)
  local step = begin(keys, args)
  local session, lease = step.header[1], step.header[2]
  if not leased(step, session, 'closing') then
    return LOST
  end
  redis.call('ZADD', step.prefix .. 'sessions', int(step.now + lease), session)
  local cancels = {}
  for i, uuid in ipairs(redis.call('ZRANGE', step.prefix .. 'canceling:' .. session, 0, -1)) do
    local task = redis.call('HMGET', step.prefix .. 'task:' .. uuid, 'attempt', 'cancel_reason')
    local attempt = tonumber(task[1])
    cancels[i] = { uuid, attempt, task[2], stop_row(step, uuid, attempt) ~= nil }
  end
  return reply(step, cancels)
end

-- A pending task whose session is gone.
local function abandon(step, task, crash)
  record_death(step, task)
  drop_spooled(step, task)
  if crash then
    put(task, 'crashes', (task.crashes or 0) + 1)
  end
  if task.cancel_at then
    put(task, 'cancel_phase', 'unknown')
    to_canceled(step, task)
  elseif task.once or (task.crashes or 0) > MAX_CRASHES then
    to_final(step, task, 'error', 'interrupted')
  else
    add_loose(task)
    to_queued(task)
  end
end

-- Take at most `limit` tasks from a session; once it holds nothing it is gone. Returns how many there were, and whether it is.
local function end_session(step, session, limit, crash)
  local uuids = redis.call('ZRANGE', step.prefix .. 'held:' .. session, 0, limit - 1)
  for _, uuid in ipairs(uuids) do
    local task = load(step, uuid)
    if task and task.state == 'pending' and task.session == session then
      abandon(step, task, crash)
    else
      drop(step, step.prefix .. 'held:' .. session, uuid)
    end
  end
  local ended = #uuids < limit and free_stops(step, session, limit)
  if ended then
    redis.call('DEL', step.prefix .. 'session:' .. session)
    redis.call('ZREM', step.prefix .. 'sessions', session)
  end
  return #uuids, ended
end

-- header: {session, limit}. Returns whether the session is gone; until it is, its lease is over, and for `reap` it is no crash.
local function close_session(keys, args)
  local step = begin(keys, args)
  local session, limit = step.header[1], step.header[2]
  if not redis.call('ZSCORE', step.prefix .. 'sessions', session) then
    return reply(step, true)
  end
  redis.call('ZADD', step.prefix .. 'sessions', 0, session)
  redis.call('HSET', step.prefix .. 'session:' .. session, 'closing', '1')
  local _, ended = end_session(step, session, limit, false)
  return reply(step, ended)
end

-- header: {limit}. Returns how many tasks were taken from sessions whose lease is over, and how many stops have lapsed.
local function reap(keys, args)
  local step = begin(keys, args)
  local limit = step.header[1]
  local reaped = 0
  for _, session in ipairs(redis.call('ZRANGEBYSCORE', step.prefix .. 'sessions', '-inf', int(step.now), 'LIMIT', 0, limit)) do
    local crash = redis.call('HEXISTS', step.prefix .. 'session:' .. session, 'closing') == 0
    reaped = reaped + end_session(step, session, limit - reaped, crash)
    if reaped >= limit then
      break
    end
  end
  local lapsed = redis.call('ZRANGEBYSCORE', step.prefix .. 'lapse', '-inf', int(step.now), 'LIMIT', 0, limit)
  for _, member in ipairs(lapsed) do
    local attempt, uuid = split_member(member)
    settle_stop(step, load(step, uuid), attempt, { state = 'lapsed' })
  end
  return reply(step, { reaped, #lapsed })
end

verb('open_session', open_session, 'allow-oom')
verb('heartbeat', heartbeat, 'allow-oom')
verb('close_session', close_session, 'allow-oom')
verb('reap', reap, 'allow-oom')
