-- claim, claim_stops: what a session gets. Both keep the last batch with its number, so that a lost reply strands nothing.

-- Remember a batch of {uuid, attempt, uuid, attempt, ...} as a session's last.
local function remember_batch(step, session, kind, seq, batch)
  redis.call('HSET', step.prefix .. 'session:' .. session, kind .. '_seq', int(seq), kind .. 's', cmsgpack.pack(batch))
end

-- The batch to give again, if `seq` is that of the last one; an empty one, if it is older still; nil, if it is new.
local function batch_before(seq, fields)
  local last = tonumber(fields[1]) or 0
  if seq > last then
    return nil
  end
  return seq == last and cmsgpack.unpack(fields[2]) or {}
end

-- How much of what turns out not to be ready one claim looks at, at most: tasks that are too late, lanes and queues. After a change of
-- limits there may be many.
local LOOKS = 1000

-- A task goes from `queued` to `pending`. It is the front of its lane. Written here and not by `flush`: of all that happens to tasks
-- this and the plain finish happen to each of them, and a queued task has little else to see to. Returns whether it began: one whose
-- time is over ends here, and one may have lost its record.
local function begin_attempt(step, uuid, lane, claiming)
  local prefix, session = step.prefix, claiming.session
  local key = prefix .. 'task:' .. uuid
  local fields = redis.call('HMGET', key, 'version', 'attempt', 'failures', 'begun_at', 'group', 'start_by', 'deadline')
  if not fields[1] then
    count(step, lane, 'queued', -1)
    return false
  end
  if fields[6] or fields[7] then
    local task = load(step, uuid)
    if end_overdue(step, task) then
      claiming.looks = claiming.looks + 1
      return false
    end
    task.state = 'pending' -- in memory alone: it is written below
    index_times(step, task)
  end
  local attempt = (tonumber(fields[2]) or 0) + 1
  redis.call('HSET', key, 'version', int(fields[1] + 1), 'attempt', int(attempt), 'state', 'pending', 'session', session,
    'claimed_at', int(step.now))
  drop(step, prefix .. 'by:queued', uuid)
  add(step, prefix .. 'by:pending', 0, uuid)
  add(step, prefix .. 'held:' .. session, 0, uuid)
  count(step, lane, 'queued', -1)
  count(step, lane, 'pending', 1)
  if fields[5] then
    count_group(step, fields[5], 'queued', 'pending')
  end
  local batch, claims = claiming.batch, claiming.claims
  batch[#batch + 1] = uuid
  batch[#batch + 1] = attempt
  if fields[3] or fields[4] then
    claims[#claims + 1] = { uuid, attempt, step.now, tonumber(fields[3]) or 0, tonumber(fields[4]) or step.now }
  else
    claims[#claims + 1] = { uuid, attempt, step.now }
  end
  return true
end

-- Serve `slots` tasks of a queue without limits: the turns first, then each lane's front. Returns how many began, and whether there
-- may be more.
local function serve_plain(step, queue, slots, claiming)
  local prefix = step.prefix
  local ring = {}
  for _, id in ipairs(front(step, queue, slots)) do
    local room = redis.call('ZCARD', prefix .. 'lane:' .. id)
    step.settled[id] = true
    if room > 0 then
      ring[#ring + 1] = { id = id, room = room }
    else
      leave_line(step, queue, id)
    end
  end
  local dealt = deal(ring, slots)
  if dealt == 0 then
    return 0, false
  end
  local tick = reach_of(step, queue)
  local turns = {}
  for i, lane in ipairs(ring) do
    turns[2 * i - 1], turns[2 * i] = int(tick + lane.last), lane.id
  end
  many('ZADD', line_key(step, queue), turns)
  move_on(step, queue, dealt)
  local began = 0
  for _, lane in ipairs(ring) do
    local taken = redis.call('ZPOPMIN', prefix .. 'lane:' .. lane.id, lane.share)
    for i = 1, #taken, 2 do
      if begin_attempt(step, taken[i], lane.id, claiming) then
        began = began + 1
      end
    end
    if lane.share == lane.room then
      leave_line(step, queue, lane.id)
    end
  end
  return began, began < dealt
end

-- The next task of a lane, which stays where it is until the end of the step. It is read with `ahead` of those that follow.
local function next_task(step, lane, ahead)
  lane.next = lane.next or 0
  if not lane.ahead or lane.next == lane.read then
    lane.ahead = redis.call('ZRANGE', step.prefix .. 'lane:' .. lane.id, lane.next, lane.next + ahead)
    lane.first, lane.read = lane.next, lane.next + #lane.ahead
  end
  return lane.ahead[lane.next - lane.first + 1]
end

-- A lane's turn: tasks of its front begin, up to its weight, until slots or limits say otherwise. Where the task that is next is too
-- dear for the queue's windows it is waited for, and all of the queue with it. Returns whether the lane could go on.
local function take_turn(step, lane, serving, claiming)
  local queue, weight = lane.queue, lane.weight
  local left = lane.left or weight
  lane.dirty = lane.dirty or lane.held_until and not is_held(step, lane)
  while left > 0 and serving.began < serving.slots and claiming.looks < LOOKS do
    local uuid = next_task(step, lane, math.min(serving.slots - serving.began, left))
    if not uuid then
      leave_line(step, queue, lane.id)
      change(lane, 'left', nil)
      return false
    end
    if lane.running >= cap_of(lane) then
      step_aside(step, queue, lane.id)
      change(lane, 'left', left < weight and left or nil)
      return false
    end
    local cost = (lane.windows.by_cost or queue.windows.by_cost) and cost_of(step, uuid) or {}
    local held = is_held(step, lane) and lane.held_until * 1000 or 0
    local ready = math.max(held, wait_of(step, lane, cost))
    if ready > 0 then
      enter_line(step, queue, lane.id, math.max(ready, serving.reach + 1))
      change(lane, 'left', nil)
      return false
    end
    if wait_of(step, queue, cost) > 0 then
      serving.over = true
      break
    end
    lane.next = lane.next + 1
    drop(step, step.prefix .. 'lane:' .. lane.id, uuid)
    if begin_attempt(step, uuid, lane.id, claiming) then
      charge(lane.windows, lane.tats, step.moment, cost)
      charge(queue.windows, queue.tats, step.moment, cost)
      lane.dirty = lane.dirty or #lane.windows > 0
      lane.running = lane.running + 1
      serving.began = serving.began + 1
      left = left - 1
    end
  end
  if left == 0 then
    redis.call('ZADD', line_key(step, queue), int(serving.reach + serving.began), lane.id)
  end
  change(lane, 'left', left > 0 and left < weight and left or nil)
  return left == 0
end

-- Serve at most `slots` tasks of a queue with limits. Returns how many began.
local function serve_limited(step, queue, slots, claiming)
  local serving = { slots = slots, began = 0, reach = reach_of(step, queue) }
  local ring = {}
  while serving.began < slots and claiming.looks < LOOKS and not serving.over do
    local ids = front(step, queue, slots - serving.began)
    if #ids == 0 then
      break
    end
    local rows = many_of('HMGET', step.prefix .. 'lanes:' .. queue.id, ids)
    for i, id in ipairs(ids) do
      if serving.began == slots or serving.over then
        break
      end
      local lane, before = limited_lane(step, id), serving.began
      lane.running = lane.running or tonumber(rows[i] and rows[i]:match('^%d+ (%d+)') or 0)
      step.settled[id] = true
      if take_turn(step, lane, serving, claiming) then
        ring[#ring + 1] = lane
      end
      if serving.began == before then
        claiming.looks = claiming.looks + 1
      end
    end
  end
  while serving.began < slots and #ring > 0 and not serving.over do
    local again = {}
    for _, lane in ipairs(ring) do
      if serving.began == slots or serving.over then
        break
      end
      if take_turn(step, lane, serving, claiming) then
        again[#again + 1] = lane
      end
    end
    ring = again
  end
  for _, lane in ipairs(ring) do
    if not next_task(step, lane, 0) then
      leave_line(step, queue, lane.id)
    elseif lane.running >= cap_of(lane) then
      step_aside(step, queue, lane.id)
    end
  end
  move_on(step, queue, serving.began)
  return serving.began
end

-- How many tasks of a queue may begin now, as far as the queue itself is concerned.
local function room_of(step, queue)
  if queue.paused_until > step.now then
    return 0
  end
  local room = queue.queued
  if queue.limited then
    room = math.min(room, queue.concurrency - queue.pending, room_in(queue.windows, queue.tats, step.moment))
  end
  return math.max(room, 0)
end

-- Take at most `limit` tasks out of their lanes, fairly.
local function take(step, limit, claiming)
  local all = queue_of(step, '')
  local key, reach = line_key(step, all), reach_of(step, all)
  local dealt, turned = 0, 0
  while dealt < limit and claiming.looks < LOOKS do
    local ids = front(step, all, limit - dealt)
    local ring = {}
    for _, id in ipairs(ids) do
      local queue = queue_of(step, id)
      queue.room = room_of(step, queue)
      if queue.room > 0 then
        ring[#ring + 1] = queue
      else
        claiming.looks = claiming.looks + 1
        settle_queue(step, queue)
      end
    end
    if #ids == 0 then
      break
    end
    while dealt < limit and #ring > 0 and claiming.looks < LOOKS do
      local again, turns = {}, {}
      local base = turned
      turned = turned + deal(ring, limit - dealt)
      for _, queue in ipairs(ring) do
        if queue.share > 0 then
          local began, more
          if queue.limited then
            began = serve_limited(step, queue, queue.share, claiming)
            more = began == queue.share
          else
            began, more = serve_plain(step, queue, queue.share, claiming)
            more = more or began == queue.share
          end
          queue.served, queue.dirty = true, true
          queue.room = queue.room - began
          dealt = dealt + began
          turns[#turns + 1] = int(reach + base + queue.last)
          turns[#turns + 1] = queue.id
          if more and queue.room > 0 then
            again[#again + 1] = queue
          end
        end
      end
      many('ZADD', key, turns)
      ring = again
    end
  end
  if turned > 0 then
    move_on(step, all, turned)
  end
end

-- When the first lane that waits for a time is ready, in ms; 0: none waits so. The counts and places are written.
local function again_at(step, claiming)
  local at = first_wait(step, queue_of(step, '')) or math.huge
  for id, queue in pairs(step.queues) do
    if queue.limited and id ~= '' then
      at = math.min(at, first_wait(step, queue) or math.huge)
    end
  end
  if claiming.looks >= LOOKS then
    at = 0
  elseif at == math.huge then
    return 0
  end
  return math.min(math.max(math.ceil(at / 1000), step.now + 1), FOREVER)
end

-- header: {session, seq, limit}. Returns {again_at or 0, {{uuid, attempt, claimed_at, failures, begun_at: absent in a first attempt},
-- ...}}, and the spec of each beside it.
local function claim(keys, args)
  local step = begin(keys, args)
  local session, seq, limit = step.header[1], step.header[2], step.header[3]
  local fields = leased(step, session, 'claim_seq', 'claims')
  if not fields then
    return LOST
  end
  local claiming = { session = session, batch = {}, claims = {}, looks = 0 }
  local batch = batch_before(seq, fields)
  if batch then
    for i = 1, #batch, 2 do
      local task = load(step, batch[i])
      if task and task.state == 'pending' and task.attempt == batch[i + 1] and task.session == session then
        claiming.claims[#claiming.claims + 1] = {
          task.uuid, task.attempt, task.claimed_at, task.failures or 0, task.begun_at or task.claimed_at,
        }
      end
    end
  else
    step.claiming = true
    take(step, limit, claiming)
    -- An empty batch need not be remembered: to ask for it again is to ask anew.
    if #claiming.batch > 0 then
      remember_batch(step, session, 'claim', seq, claiming.batch)
    end
  end
  flush(step)
  local again = again_at(step, claiming)
  local specs = {}
  for i, given in ipairs(claiming.claims) do
    specs[i] = redis.call('GET', step.prefix .. 'spec:' .. given[1])
  end
  return answer(step, { again, claiming.claims }, specs)
end

-- header: {session, seq, limit}. Returns {{uuid, attempt, lapses_at}, ...}, and the spec of each beside it.
local function claim_stops(keys, args)
  local step = begin(keys, args)
  local session, seq, limit = step.header[1], step.header[2], step.header[3]
  local fields = leased(step, session, 'stop_seq', 'stops')
  if not fields then
    return LOST
  end
  local batch = batch_before(seq, fields)
  if not batch then
    batch = {}
    local free = redis.call('ZRANGEBYSCORE', step.prefix .. 'stops', '(' .. int(step.now), '+inf', 'LIMIT', 0, limit)
    for _, member in ipairs(free) do
      local attempt, uuid = split_member(member)
      hold_stop(step, uuid, attempt, session)
      batch[#batch + 1] = uuid
      batch[#batch + 1] = attempt
    end
    if #batch > 0 then
      remember_batch(step, session, 'stop', seq, batch)
    end
  end
  local stops, specs = {}, {}
  for i = 1, #batch, 2 do
    local uuid, attempt = batch[i], batch[i + 1]
    local stop = stop_row(step, uuid, attempt)
    if stop and stop.state == 'owed' and stop.by == session then
      stops[#stops + 1] = { uuid, attempt, stop.lapses_at }
      specs[#specs + 1] = redis.call('GET', step.prefix .. 'spec:' .. uuid)
    end
  end
  return reply(step, stops, specs)
end

verb('claim', claim, 'allow-oom')
verb('claim_stops', claim_stops, 'allow-oom')
