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

-- A task goes from `queued` to `pending`. It has just been popped from its lane. Written here and not by `flush`: of all that
-- happens to tasks this and the plain finish happen to each of them, and a queued task has nothing else to see to.
-- Returns its attempt, or nil where its record is gone.
local function begin_attempt(step, uuid, queue, session)
  local prefix = step.prefix
  local key = prefix .. 'task:' .. uuid
  local fields = redis.call('HMGET', key, 'version', 'attempt')
  count(step, queue, 'queued', -1)
  if not fields[1] then
    return nil
  end
  local attempt = (tonumber(fields[2]) or 0) + 1
  redis.call('HSET', key, 'version', int(fields[1] + 1), 'attempt', int(attempt), 'state', 'pending', 'session', session,
    'claimed_at', int(step.now))
  drop(step, prefix .. 'by:queued', uuid)
  add(step, prefix .. 'by:pending', 0, uuid)
  add(step, prefix .. 'held:' .. session, 0, uuid)
  count(step, queue, 'pending', 1)
  return attempt
end

-- Take at most `limit` tasks out of their lanes, fairly. Returns a batch.
local function take(step, session, limit)
  local prefix = step.prefix
  local batch = {}
  local queues = take_turns(step, '', limit, function(queue)
    return tonumber(redis.call('HGET', prefix .. 'queue:' .. queue, 'queued')) or 0
  end)
  for _, queue in ipairs(queues) do
    local lanes = take_turns(step, queue.member, queue.share, function(lane)
      return redis.call('ZCARD', prefix .. 'lane:' .. lane)
    end)
    for _, lane in ipairs(lanes) do
      local taken = redis.call('ZPOPMIN', prefix .. 'lane:' .. lane.member, lane.share)
      for i = 1, #taken, 2 do
        local attempt = begin_attempt(step, taken[i], queue.member, session)
        if attempt then
          batch[#batch + 1] = taken[i]
          batch[#batch + 1] = attempt
        end
      end
      if lane.share == lane.room then
        leave_line(step, queue.member, lane.member)
      end
    end
  end
  return batch
end

-- header: {session, seq, limit}. Returns {{uuid, attempt, claimed_at}, ...}, and the spec of each beside it.
local function claim(keys, args)
  local step = begin(keys, args)
  local session, seq, limit = step.header[1], step.header[2], step.header[3]
  local fields = leased(step, session, 'claim_seq', 'claims')
  if not fields then
    return LOST
  end
  local claims, specs = {}, {}
  local function give(uuid, attempt, claimed_at)
    claims[#claims + 1] = { uuid, attempt, claimed_at }
    specs[#specs + 1] = redis.call('GET', step.prefix .. 'spec:' .. uuid)
  end
  local batch = batch_before(seq, fields)
  if batch then
    for i = 1, #batch, 2 do
      local task = load(step, batch[i])
      if task and task.state == 'pending' and task.attempt == batch[i + 1] and task.session == session then
        give(task.uuid, task.attempt, task.claimed_at)
      end
    end
  else
    batch = take(step, session, limit)
    for i = 1, #batch, 2 do
      give(batch[i], batch[i + 1], step.now)
    end
    -- An empty batch need not be remembered: to ask for it again is to ask anew.
    if #batch > 0 then
      remember_batch(step, session, 'claim', seq, batch)
    end
  end
  return reply(step, claims, specs)
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
