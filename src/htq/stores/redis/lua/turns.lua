--[[
Turns: who is served next. A line holds the lanes of a queue that have work, or (the line of '') the queues that have work, each
at its turn: a number in microseconds. `tick` is a clock that never stands still, `door` the tick of the last claim. Who was served
goes to behind the tick, who fills comes in at the door: behind those that wait, before those that were just served. Whoever runs
empty takes its turn along into `idle`, so that running empty gains nothing, until the door has passed that turn.
]]

local function door_of(step, line)
  local door = step.doors[line]
  if not door then
    door = tonumber(redis.call('HGET', step.prefix .. 'queue:' .. line, 'door')) or 0
    step.doors[line] = door
  end
  return door
end

local function enter_line(step, line, member)
  local ready = step.prefix .. 'line:' .. line
  if redis.call('ZSCORE', ready, member) then
    return
  end
  local idle = step.prefix .. 'idle:' .. line
  local turn = door_of(step, line)
  local own = redis.call('ZSCORE', idle, member)
  if own then
    turn = math.max(turn, tonumber(own))
    redis.call('ZREM', idle, member)
  end
  redis.call('ZADD', ready, int(turn), member)
end

local function leave_line(step, line, member)
  local ready, idle = step.prefix .. 'line:' .. line, step.prefix .. 'idle:' .. line
  local turn = redis.call('ZSCORE', ready, member)
  if not turn then
    return
  end
  redis.call('ZREM', ready, member)
  redis.call('ZREMRANGEBYSCORE', idle, '-inf', int(door_of(step, line)))
  if tonumber(turn) > door_of(step, line) then
    redis.call('ZADD', idle, turn, member)
  end
end

-- Deal `slots` round robin to those at the front of a line, each at most its `room`, and give everyone who was served its next
-- turn. Returns {{member, share}, ...} and how many slots were dealt.
local function take_turns(step, line, slots, room_of)
  local ready, record = step.prefix .. 'line:' .. line, step.prefix .. 'queue:' .. line
  local served, ring = {}, {}
  for i, member in ipairs(redis.call('ZRANGE', ready, 0, slots - 1)) do
    local room = room_of(member)
    if room > 0 then
      local one = { member = member, room = room, share = 0, last = 0 }
      served[#served + 1] = one
      ring[#ring + 1] = one
    else
      leave_line(step, line, member)
    end
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
  if dealt == 0 then
    return served, 0
  end
  local tick = math.max(step.now_us, tonumber(redis.call('HGET', record, 'tick')) or 0)
  local turns = {}
  for _, one in ipairs(served) do
    turns[#turns + 1] = int(tick + one.last)
    turns[#turns + 1] = one.member
  end
  many('ZADD', ready, turns)
  redis.call('HSET', record, 'tick', int(tick + dealt), 'door', int(tick))
  step.doors[line] = tick
  return served, dealt
end
