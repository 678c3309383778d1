--[[
Turns: who is served next. A line holds the lanes of a queue that have work and are not full, or (the line of '') the queues of which
the same is true, each at its turn: a number in microseconds. `tick` is a clock that never stands still, `door` the tick of the last
claim. Who was served goes to behind the tick; who fills comes in at the door: behind those that wait, before those that were just
served. Who waits for a time has a turn in the future, and is out of reach of a claim until then. Whoever runs empty takes its turn along
into `idle`, so that running empty gains nothing, until the door has passed that turn; who is full takes it along into `full`.

A line is the record of its queue, as `queue_of` gives it.
]]

-- Whose turn is up to this is ready.
local function reach_of(step, line)
  return math.max(step.now_us, line.tick)
end

local function line_key(step, line)
  return step.prefix .. 'line:' .. line.id
end

-- Those at the front of a line, in reach, at most `limit`.
local function front(step, line, limit)
  return redis.call('ZRANGE', line_key(step, line), '-inf', int(reach_of(step, line)), 'BYSCORE', 'LIMIT', 0, int(limit))
end

-- When the first of those that wait for a time is ready, in microseconds, or nil.
local function first_wait(step, line)
  local first = redis.call('ZRANGE', line_key(step, line), '(' .. int(reach_of(step, line)), '+inf', 'BYSCORE', 'LIMIT', 0, 1,
    'WITHSCORES')
  return tonumber(first[2])
end

-- The turn at which a member comes in that is not in line.
local function turn_of(step, line, member)
  if line.has_full then
    local full = step.prefix .. 'full:' .. line.id
    local own = redis.call('ZSCORE', full, member)
    if own then
      redis.call('ZREM', full, member)
      return math.min(tonumber(own), reach_of(step, line))
    end
  end
  local idle = step.prefix .. 'idle:' .. line.id
  local own = redis.call('ZSCORE', idle, member)
  if own then
    redis.call('ZREM', idle, member)
    return math.max(line.door, tonumber(own))
  end
  return line.door
end

-- See that a member is in line: at its turn, or at the time for which it waits (`ready`, in microseconds). That it may be claimed
-- sooner than was known is news to others, unless it is a claim that finds out.
local function enter_line(step, line, member, ready)
  local key = line_key(step, line)
  local reach = reach_of(step, line)
  local former = tonumber(redis.call('ZSCORE', key, member) or nil)
  if former and former <= reach and ready <= reach then
    return
  end
  local turn = former
  if not turn then
    turn = turn_of(step, line, member)
  elseif turn > reach then
    turn = line.door -- it waited for a time, which is another one now
  end
  if ready > reach then
    turn = math.max(turn, ready)
  end
  redis.call('ZADD', key, int(turn), member)
  if not step.claiming and (not former or turn < former) then
    step.available = true
  end
end

-- Nothing is left of its work.
local function leave_line(step, line, member)
  local key, idle = line_key(step, line), step.prefix .. 'idle:' .. line.id
  if line.has_full then
    redis.call('ZREM', step.prefix .. 'full:' .. line.id, member)
  end
  local turn = tonumber(redis.call('ZSCORE', key, member) or nil)
  if not turn then
    return
  end
  redis.call('ZREM', key, member)
  redis.call('ZREMRANGEBYSCORE', idle, '-inf', int(line.door))
  if turn > line.door and turn <= reach_of(step, line) then
    redis.call('ZADD', idle, int(turn), member)
  end
end

-- It has work, and is full.
local function step_aside(step, line, member)
  local key, full = line_key(step, line), step.prefix .. 'full:' .. line.id
  local turn = tonumber(redis.call('ZSCORE', key, member) or nil)
  if turn then
    redis.call('ZREM', key, member)
    redis.call('ZADD', full, int(turn), member)
  elseif not redis.call('ZSCORE', full, member) then
    redis.call('ZADD', full, int(turn_of(step, line, member)), member)
  end
end

-- The line's clock moves past what was dealt.
local function move_on(step, line, dealt)
  local tick = reach_of(step, line)
  line.tick, line.door = tick + dealt, tick
  line.dirty = true
end

-- Deal `slots` round robin to `ring`, a list of {member, room}: sets `share` and, in order, `last`, the number of its last slot.
local function deal(ring, slots)
  for _, one in ipairs(ring) do
    one.share, one.last = 0, 0
  end
  local dealt = 0
  while dealt < slots and #ring > 0 do
    local again = {}
    for _, one in ipairs(ring) do
      if dealt == slots then
        break
      end
      dealt = dealt + 1
      one.share = one.share + 1
      one.last = dealt
      if one.share < one.room then
        again[#again + 1] = one
      end
    end
    ring = again
  end
  return dealt
end
