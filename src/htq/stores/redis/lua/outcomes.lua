-- finish, settle_stops, append_body: what a session reports, behind the fence of (task, attempt, session).

local function done(step, task, session, item)
  local size = item.chunks or 0
  if size > 0 then
    drop_spooled(step, task)
  end
  redis.call('SET', step.prefix .. 'response:' .. task.uuid, blob(step))
  put(task, 'response', '1')
  if size > 0 then
    put(task, 'spooled', task.attempt)
    write_body(step, task.uuid, task.attempt, 'response', 0, size)
  elseif not item.beside then
    drop_spooled(step, task)
  end
  clear(task, 'loose')
  if item.owes and not UNSENT[item.phase] then
    owe_stop(step, task, task.attempt, session)
  end
  to_final(step, task, item.state, item.reason)
end

local function interrupted(step, task, session)
  local owed = owe_stop(step, task, task.attempt, session)
  if task.once then
    to_final(step, task, 'error', 'interrupted')
  elseif owed then
    wait_for_stop(step, task)
  else
    to_queued(task)
  end
end

local function retry_later(step, task, session, item)
  put(task, 'failures', (task.failures or 0) + 1)
  put(task, 'between', task.attempt)
  if item.between and not UNSENT[item.phase] then
    put(task, 'between_owes', task.attempt)
  end
  set_run_at(task, item.due_at)
  if item.owes and not UNSENT[item.phase] and owe_stop(step, task, task.attempt, session) then
    wait_for_stop(step, task)
  else
    to_scheduled(task, item.due_at)
  end
end

-- The cancel wins, whatever came of the exchange; it is told where it met the exchange, and whether a DELETE is still owed.
local function finish_canceled(step, task, item)
  drop_spooled(step, task)
  put(task, 'cancel_phase', item.phase)
  if item.interrupted_at then
    put(task, 'interrupted_at', item.interrupted_at)
  end
  if UNSENT[item.phase] or item.phase == 'finished' then
    local stop = stop_row(step, task.uuid, task.attempt)
    if stop and stop.state == 'owed' then
      settle_stop(step, task, task.attempt, { state = 'none' })
    end
  end
  to_canceled(step, task)
end

-- The number of blobs of an outcome after its record.
local function blobs_of(item)
  return item.kind == 'done' and 1 + (item.chunks or 0) or 0
end

-- The end that most tasks have: done, held, its body small, and nothing else to see to. Written here and not by `flush`: see
-- `begin_attempt`. Its session stays on record: a command less, and it means nothing any more. Returns whether it was that.
local function finish_plain(step, session, item)
  if item.kind ~= 'done' or item.chunks or item.beside or item.owes or step.tasks[item.uuid] then
    return false
  end
  local prefix, uuid = step.prefix, item.uuid
  local key = prefix .. 'task:' .. uuid
  local fields = redis.call('HMGET', key, 'state', 'attempt', 'session', 'version', 'lane', 'ttl',
    'cancel_at', 'loose', 'spooled', 'owed', 'waiter', 'name', 'group', 'callback', 'deadline', 'claimed_at')
  if fields[1] ~= 'pending' or tonumber(fields[2]) ~= item.attempt or fields[3] ~= session then
    return false
  end
  for i = 7, 15 do
    if fields[i] then
      return false
    end
  end
  local keep_until = int(step.now + fields[6])
  redis.call('RPUSH', prefix .. 'attempts:' .. uuid, 'a' .. session .. '\n' .. blob(step))
  redis.call('SET', prefix .. 'response:' .. uuid, blob(step))
  redis.call('HSET', key, 'version', int(fields[4] + 1), 'state', item.state, 'finished_at', int(step.now),
    'keep_until', keep_until, 'response', '1')
  if item.reason then
    redis.call('HSET', key, 'reason', item.reason)
  end
  drop(step, prefix .. 'by:pending', uuid)
  add(step, prefix .. 'by:' .. item.state, 0, uuid)
  drop(step, prefix .. 'held:' .. session, uuid)
  add(step, prefix .. 'keep', keep_until, uuid)
  count(step, fields[5], 'pending', -1)
  step.finished[#step.finished + 1] = uuid
  heed(step, fields[5], uuid, fields[16], item)
  return true
end

local function finish_one(step, session, item)
  if finish_plain(step, session, item) then
    return 'applied'
  end
  local task = load(step, item.uuid)
  local record = blob(step)
  if not task or task.state ~= 'pending' or task.attempt ~= item.attempt or task.session ~= session then
    skip_blobs(step, blobs_of(item))
    return task and answer_before(step, item.uuid, item.attempt, session) or 'lost'
  end
  heed(step, task.lane, task.uuid, task.claimed_at, item)
  if task.cancel_at then
    skip_blobs(step, blobs_of(item))
    record_end(step, task, 'c', record)
    finish_canceled(step, task, item)
    return 'canceled'
  end
  record_end(step, task, 'a', record)
  if item.kind == 'done' then
    done(step, task, session, item)
    return 'applied'
  end
  drop_spooled(step, task)
  if item.kind == 'interrupted' then
    interrupted(step, task, session)
  elseif item.kind == 'retry' then
    retry_later(step, task, session, item)
  else
    if not UNSENT[item.phase] then
      add_loose(task)
    end
    to_queued(task)
  end
  return 'applied'
end

-- header: {session, list of maps, htq.stores.redis.wire.Ending}; blobs: the record of each, then, if it is done, its response
-- and the chunks of a body that travels along and lies beside. Returns the answers.
local function finish(keys, args)
  local step = begin(keys, args)
  local answers = {}
  for i, item in ipairs(step.header[2]) do
    answers[i] = finish_one(step, step.header[1], item)
  end
  return reply(step, answers)
end

-- header: {session, list of maps, htq.stores.redis.wire.Settling}. Returns booleans.
local function settle_stops(keys, args)
  local step = begin(keys, args)
  local session = step.header[1]
  local answers = {}
  for i, item in ipairs(step.header[2]) do
    local task = load(step, item.uuid)
    local stop = task and stop_row(step, item.uuid, item.attempt)
    local ours = stop and stop.by == session
    if ours and stop.state == 'owed' then
      settle_stop(step, task, item.attempt, item)
      answers[i] = true
    else
      answers[i] = ours and stop.state == item.state or false
    end
  end
  return reply(step, answers)
end

-- header: {uuid, attempt, number of the first chunk, how many}; blobs: the chunks. Returns whether the task still wants them.
local function append_body(keys, args)
  local step = begin(keys, args)
  local uuid, attempt, first, count = unpack(step.header)
  local task = load(step, uuid)
  if not task or task.state ~= 'pending' or task.attempt ~= attempt then
    return reply(step, false)
  end
  write_body(step, uuid, attempt, 'response', first, count)
  if not task.spooled then
    put(task, 'spooled', attempt)
  end
  return reply(step, true)
end

verb('append_body', append_body)
verb('finish', finish, 'allow-oom')
verb('settle_stops', settle_stops, 'allow-oom')
