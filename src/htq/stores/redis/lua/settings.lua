-- What operators say of queues and lanes: put_queue, pause_queue, delete_queue, put_lane; and how a lane stands.

-- What the limits of a queue kept back is looked at again, by the claims that follow: all its lanes are in reach.
local function look_again(step, queue)
  local prefix, line = step.prefix, line_key(step, queue)
  local full, waiting = prefix .. 'full:' .. queue.id, prefix .. 'again:' .. queue.id
  local reach = '(' .. int(reach_of(step, queue))
  redis.call('ZRANGESTORE', waiting, line, reach, '+inf', 'BYSCORE')
  redis.call('ZREMRANGEBYSCORE', line, reach, '+inf')
  redis.call('ZUNIONSTORE', line, 3, line, full, waiting, 'WEIGHTS', 1, 1, 0)
  redis.call('DEL', full, waiting)
  step.available = true
end

-- Read a queue's record anew, and see to its place.
local function settle_anew(step, id)
  step.queues[id] = nil
  local queue = queue_of(step, id)
  queue.dirty = true
  return queue
end

-- header: {queue, its name, paused_until or 0, whether there are limits}; blobs: its settings, msgpack of QueueSettings; its limits,
-- msgpack of htq.stores.redis.wire.Limits.
local function put_queue(keys, args)
  local step = begin(keys, args)
  local id, name, paused_until, has_limits = unpack(step.header)
  local prefix = step.prefix
  local key = prefix .. 'queue:' .. id
  redis.call('HSET', prefix .. 'settings', name, blob(step))
  redis.call('HSET', key, 'name', name)
  if paused_until > 0 then
    redis.call('HSET', prefix .. 'paused', name, int(paused_until))
    redis.call('HSET', key, 'paused_until', int(paused_until))
  else
    redis.call('HDEL', prefix .. 'paused', name)
    redis.call('HDEL', key, 'paused_until')
  end
  local limits, former = blob(step), redis.call('HGET', key, 'limits')
  if has_limits then
    redis.call('HSET', key, 'limits', limits)
  else
    redis.call('HDEL', key, 'limits')
  end
  local queue = settle_anew(step, id)
  if former ~= (has_limits and limits) then
    look_again(step, queue)
  end
  step.available = true
  return reply(step, true)
end

-- header: {queue, its name, paused_until or 0}.
local function pause_queue(keys, args)
  local step = begin(keys, args)
  local id, name, paused_until = unpack(step.header)
  local key = step.prefix .. 'queue:' .. id
  if paused_until > 0 then
    redis.call('HSET', step.prefix .. 'paused', name, int(paused_until))
    redis.call('HSET', key, 'name', name, 'paused_until', int(paused_until))
  else
    redis.call('HDEL', step.prefix .. 'paused', name)
    redis.call('HDEL', key, 'paused_until')
    step.available = true
  end
  settle_anew(step, id)
  return reply(step, true)
end

-- Forget the records of all lanes of a queue, and the lanes of which nothing else was known.
local function drop_records(step, id)
  local prefix = step.prefix
  local lanes, records = prefix .. 'lanes:' .. id, prefix .. 'records:' .. id
  local ids = redis.call('SMEMBERS', records)
  if #ids == 0 then
    return
  end
  local rows, keys, gone = many_of('HMGET', lanes, ids), {}, {}
  for i, lane in ipairs(ids) do
    keys[i] = prefix .. 'record:' .. lane
    if rows[i] and rows[i]:match('^(%d+)') == '0' then
      gone[#gone + 1] = lane
    end
  end
  unlink(keys)
  many('HDEL', lanes, gone)
  many('ZREM', prefix .. 'faded', gone)
  redis.call('UNLINK', records)
end

-- header: {queue, its name}. Returns whether there were settings.
local function delete_queue(keys, args)
  local step = begin(keys, args)
  local id, name = unpack(step.header)
  local prefix = step.prefix
  local there = redis.call('HDEL', prefix .. 'settings', name) + redis.call('HDEL', prefix .. 'paused', name)
  local queue = queue_of(step, id)
  there = there + queue.special
  drop_records(step, id)
  redis.call('HDEL', prefix .. 'queue:' .. id, 'limits', 'special', 'paused_until', 'spent')
  look_again(step, queue)
  settle_anew(step, id)
  return reply(step, there > 0)
end

-- header: {queue, its name, lane, its key, whether it has limits of its own, {until, reason} or false}; blob: the limits, msgpack of
-- htq.words.limits.LaneLimits.
local function put_lane(keys, args)
  local step = begin(keys, args)
  local id, name, lane_id, lane_key, has_limits, hold = unpack(step.header)
  step.new_names[id], step.new_keys[lane_id] = name, lane_key
  local lane = lane_of(step, lane_id)
  local own = blob(step)
  change(lane, 'own', has_limits and own or nil)
  lane.held_until, lane.hold_reason = hold and hold[1] or nil, hold and hold[2] or nil
  if not hold then
    lane.failures, lane.trips = nil, nil
  end
  lane.left, lane.dirty = nil, true
  step.touched[lane_id] = true
  step.available = true
  return reply(step, true)
end

-- What a page shows of a lane: {lane, live, running, key, queued, own or false, held_until or 0, hold_reason or false, failures}.
local function lane_row(step, id, row)
  local record = redis.call('HMGET', step.prefix .. 'record:' .. id, 'own', 'held_until', 'hold_reason', 'failures')
  local live, running, key = 0, 0, ''
  if row then
    live, running, key = row:match('^(%d+) (%d+) (.*)$')
  end
  return { id, int(live), int(running), key, int(redis.call('ZCARD', step.prefix .. 'lane:' .. id)), record[1], record[2], record[3],
    record[4] }
end

-- header: {lane}. Returns its row.
local function lane(keys, args)
  local step = begin(keys, args)
  local id = step.header[1]
  return { int(step.now), lane_row(step, id, redis.call("HGET", step.prefix .. "lanes:" .. queue_id(id), id)) }
end

-- header: {queue, where `HSCAN` is to go on, how many about}. Returns where it is to go on ('0': nowhere), and rows.
local function lanes(keys, args)
  local step = begin(keys, args)
  local id, from, limit = unpack(step.header)
  local scanned = redis.call('HSCAN', step.prefix .. 'lanes:' .. id, from, 'COUNT', int(limit))
  local rows = {}
  for i = 1, #scanned[2], 2 do
    rows[#rows + 1] = lane_row(step, scanned[2][i], scanned[2][i + 1])
  end
  return { int(step.now), scanned[1], rows }
end

verb('put_queue', put_queue, 'allow-oom')
verb('pause_queue', pause_queue, 'allow-oom')
verb('delete_queue', delete_queue, 'allow-oom')
verb('put_lane', put_lane, 'allow-oom')
verb('lane', lane, 'no-writes')
verb('lanes', lanes, 'no-writes')
