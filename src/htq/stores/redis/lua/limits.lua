--[[
What holds queues and lanes back. Fields of their records beside the counts and turns:

queue:<queue>   limits         msgpack of htq.stores.redis.wire.Limits, as far as there are any
                special        how many of its lanes have a record
                paused_until   ms; absent: it is not paused
                spent          msgpack of the tats of its windows, if they lie ahead
record:<lane>   own            msgpack of htq.words.limits.LaneLimits: what was said of this lane
                spent          as above
                left           tasks that it still gets in this turn; absent: a whole turn
                held_until, hold_reason
                failures       in a row, as the breaker counts them
                trips          how often the breaker has held it since the last attempt that was good; absent: it is closed

A queue without `limits` and `special` is not `limited`: its lanes are never asked for anything but their tasks.
]]

local LANE_NUMBERS = { 'left', 'held_until', 'failures', 'trips' }

local function queue_of(step, id)
  local queue = step.queues[id]
  if queue then
    return queue
  end
  local fields = redis.call('HMGET', step.prefix .. 'queue:' .. id, 'name', 'scheduled', 'queued', 'pending', 'tick', 'door',
    'limits', 'special', 'paused_until', 'spent')
  queue = {
    id = id,
    name = fields[1],
    scheduled = tonumber(fields[2]) or 0,
    queued = tonumber(fields[3]) or 0,
    pending = tonumber(fields[4]) or 0,
    tick = tonumber(fields[5]) or 0,
    door = tonumber(fields[6]) or 0,
    special = tonumber(fields[8]) or 0,
    paused_until = tonumber(fields[9]) or 0,
  }
  local limits = fields[7] and cmsgpack.unpack(fields[7]) or {}
  queue.has_limits = fields[7] ~= false
  queue.limited = queue.has_limits or queue.special > 0
  queue.has_full = queue.limited
  queue.counted = queue.scheduled + queue.queued + queue.pending > 0
  queue.concurrency = limits.concurrency or math.huge
  queue.per_key = limits.per_key or {}
  queue.breaker = limits.breaker
  queue.windows = windows_of(limits.rate)
  queue.tats = fitted(queue.windows, fields[10] and cmsgpack.unpack(fields[10]), step.moment)
  step.queues[id] = queue
  return queue
end

-- The record of a lane in a queue that is limited, or is becoming so.
local function lane_of(step, id)
  local lane = step.lanes[id]
  if lane then
    return lane
  end
  local queue = queue_of(step, queue_id(id))
  lane = { id = id, queue = queue }
  local fields = redis.call('HMGET', step.prefix .. 'record:' .. id, 'own', 'spent', 'hold_reason', unpack(LANE_NUMBERS))
  lane.own, lane.hold_reason = fields[1] or nil, fields[3] or nil
  lane.spent = fields[2] and cmsgpack.unpack(fields[2]) or nil
  for i, field in ipairs(LANE_NUMBERS) do
    lane[field] = tonumber(fields[3 + i] or nil)
  end
  lane.recorded = lane.own ~= nil or lane.spent ~= nil or lane.held_until ~= nil or lane.failures ~= nil or lane.left ~= nil
  step.lanes[id] = lane
  return lane
end

-- What holds for the lane, of its own and of what its queue says of each.
local function apply_limits(step, lane)
  local own, each = lane.own and cmsgpack.unpack(lane.own) or {}, lane.queue.per_key
  lane.weight = own.weight or each.weight or 1
  lane.concurrency = own.concurrency or each.concurrency or math.huge
  lane.windows = windows_of(own.rate or each.rate)
  lane.tats = fitted(lane.windows, lane.spent, step.moment)
  lane.applied = true
  return lane
end

local function limited_lane(step, id)
  local lane = lane_of(step, id)
  return lane.applied and lane or apply_limits(step, lane)
end

-- How many of it may run: once the breaker has held it, one at a time.
local function cap_of(lane)
  return lane.trips and lane.queue.breaker and math.min(lane.concurrency, 1) or lane.concurrency
end

local function change(lane, field, value)
  if lane[field] ~= value then
    lane[field] = value
    lane.dirty = true
  end
end

local function cost_of(step, uuid)
  local task = step.tasks[uuid]
  local packed = task and task.cost
  if not task then
    packed = redis.call('HGET', step.prefix .. 'task:' .. uuid, 'cost')
  end
  return packed and cmsgpack.unpack(packed) or {}
end

-- Until when a task of this cost has to wait for the windows of a lane or a queue, in microseconds; 0: not at all.
local function wait_of(step, owner, cost)
  local at = opens_at(owner.windows, owner.tats, cost)
  return at > step.moment and math.ceil(at / 1000) * 1000 or 0
end

local function is_held(step, lane)
  return lane.held_until and lane.held_until > step.now
end

-- When a lane with this task at its front is ready, in microseconds, whatever of it is running.
local function ready_at(step, lane, uuid)
  local at = is_held(step, lane) and lane.held_until * 1000 or 0
  if #lane.windows > 0 then
    at = math.max(at, wait_of(step, lane, lane.windows.by_cost and cost_of(step, uuid) or {}))
  end
  return at
end

-- Put a lane of a limited queue where it belongs now.
local function settle_lane(step, id, running)
  local lane = limited_lane(step, id)
  local first = redis.call('ZRANGE', step.prefix .. 'lane:' .. id, 0, 0)[1]
  if not first then
    leave_line(step, lane.queue, id)
  elseif running >= cap_of(lane) then
    step_aside(step, lane.queue, id)
  else
    enter_line(step, lane.queue, id, ready_at(step, lane, first))
  end
end

-- The cost of the task at the front of a queue.
local function cost_of_next(step, queue)
  local lane = redis.call('ZRANGE', line_key(step, queue), 0, 0)[1]
  local uuid = lane and redis.call('ZRANGE', step.prefix .. 'lane:' .. lane, 0, 0)[1]
  return uuid and cost_of(step, uuid) or {}
end

-- When a queue with work is ready, in microseconds; nil: not before something ends.
local function queue_ready_at(step, queue)
  if queue.pending >= queue.concurrency then
    return nil
  end
  local at = queue.paused_until > step.now and queue.paused_until * 1000 or 0
  if not queue.limited then
    return at
  end
  local first = redis.call('ZRANGE', line_key(step, queue), 0, 0, 'WITHSCORES')[2]
  if not first then
    return nil
  end
  if tonumber(first) > reach_of(step, queue) then
    at = math.max(at, tonumber(first))
  end
  if #queue.windows > 0 then
    at = math.max(at, wait_of(step, queue, queue.windows.by_cost and cost_of_next(step, queue) or {}))
  end
  return at
end

-- Put a queue where it belongs among the queues.
local function settle_queue(step, queue)
  local all = queue_of(step, '')
  local ready = queue.queued > 0 and queue_ready_at(step, queue)
  if ready then
    enter_line(step, all, queue.id, ready)
  else
    leave_line(step, all, queue.id)
  end
end

-- A hold of a lane. It never makes one that is there end sooner.
local function hold_lane(step, lane, until_, reason)
  if until_ > step.now and until_ > (lane.held_until or 0) then
    change(lane, 'held_until', until_)
    change(lane, 'hold_reason', reason)
    step.touched[lane.id] = true
  end
end

-- The breaker counts bad attempts in a row. What was on its way while the lane is held says nothing new if it is bad.
local function hear_health(step, lane, health)
  local breaker = lane.queue.breaker
  if not breaker then
    return
  end
  if health == 'good' then
    change(lane, 'failures', nil)
    change(lane, 'trips', nil)
  elseif not (lane.trips and is_held(step, lane)) then
    change(lane, 'failures', (lane.failures or 0) + 1)
    if lane.trips or lane.failures >= (breaker.failures or 5) then
      change(lane, 'trips', (lane.trips or 0) + 1)
      local seconds = math.min((breaker.hold or 10) * 2 ^ (lane.trips - 1), breaker.max_hold or 600)
      hold_lane(step, lane, step.now + math.floor(seconds * 1000 + 0.5), 'breaker')
    end
  end
  step.touched[lane.id] = true
end

-- What the end of an attempt says of its lane. `item` is an htq.stores.redis.wire.Ending.
local function heed(step, id, uuid, claimed_at, item)
  if not (item.hold or item.costs or item.health) then
    return
  end
  local queue = queue_of(step, queue_id(id))
  if not item.hold and not queue.limited then
    return
  end
  local lane = limited_lane(step, id)
  if item.health then
    hear_health(step, lane, item.health)
  end
  if item.hold then
    hold_lane(step, lane, item.hold[1], item.hold[2])
  end
  if item.costs then
    local charged, at = cost_of(step, uuid), claimed_at * 1000
    correct(lane.windows, lane.tats, step.moment, at, charged, item.costs)
    correct(queue.windows, queue.tats, step.moment, at, charged, item.costs)
    lane.dirty = lane.dirty or lane.windows.by_cost
    queue.dirty = true
    step.touched[id] = true
  end
end

-- Write a lane's record, or what is left of it.
local function write_lane(step, lane)
  local key, records = step.prefix .. 'record:' .. lane.id, step.prefix .. 'records:' .. lane.queue.id
  local spent = lane.spent
  if lane.applied then
    spent = last_of(lane.tats, step.moment) and lane.tats
  end
  if lane.left and lane.left >= (lane.weight or 1) then
    lane.left = nil
  end
  if lane.held_until and lane.held_until <= step.now then
    lane.held_until, lane.hold_reason = nil, nil
  end
  local fields = {}
  local function keep(field, value)
    if value then
      fields[#fields + 1] = field
      fields[#fields + 1] = value
    end
  end
  keep('own', lane.own)
  keep('spent', spent and cmsgpack.pack(spent))
  keep('hold_reason', lane.hold_reason)
  for _, field in ipairs(LANE_NUMBERS) do
    keep(field, lane[field] and int(lane[field]))
  end
  redis.call('DEL', key)
  if #fields > 0 then
    redis.call('HSET', key, unpack(fields))
  end
  local recorded = #fields > 0
  if recorded ~= lane.recorded then
    redis.call(recorded and 'SADD' or 'SREM', records, lane.id)
    lane.queue.special = lane.queue.special + (recorded and 1 or -1)
    lane.queue.limited = lane.queue.has_limits or lane.queue.special > 0
    lane.queue.dirty = true
    lane.recorded = recorded
  end
end

-- For how long failures in a row are remembered of a lane that has no tasks.
local FAILURES_FADE_MS = 3600000

-- When the record of a lane without tasks means nothing any more, in ms; nil: it stays until somebody says otherwise.
local function fades_at(step, lane)
  if lane.own then
    return nil
  end
  return math.max(math.ceil((last_of(lane.tats, step.moment) or 0) / 1000) + 1, lane.held_until or 0, step.now + (lane.failures and FAILURES_FADE_MS or 0))
end

-- Forget what is to be known of a lane, if nothing of it lives and it means nothing any more.
local function fade_lane(step, id)
  local lane = limited_lane(step, id)
  local row = redis.call('HGET', step.prefix .. 'lanes:' .. lane.queue.id, id)
  local fades = fades_at(step, lane)
  if row and row:match('^(%d+)') == '0' and fades then
    if fades <= step.now or lane.failures then
      lane.spent, lane.failures, lane.trips, lane.left = nil, nil, nil, nil
      lane.tats = fitted(lane.windows)
      lane.dirty = true
    end
    step.touched[id] = true
  end
end
