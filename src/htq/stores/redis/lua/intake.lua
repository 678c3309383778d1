-- enqueue: tasks come in, and a name's newer task takes the place of the older.

-- Cancel a task, once. The first request counts.
local function cancel_task(step, task, reason, superseding)
  if task.cancel_at then
    return
  end
  local state = task.state
  put(task, 'cancel_at', step.now)
  if reason then
    put(task, 'cancel_reason', reason)
  end
  if superseding then
    put(task, 'superseding', '1')
  end
  if not LIVE[state] then
    put(task, 'cancel_phase', 'finished')
    local finished_at = task.finished_at
    drop_response(step, task)
    to_canceled(step, task)
    put(task, 'finished_at', finished_at)
    return
  end
  owe_loose_stops(step, task)
  if state ~= 'pending' then
    put(task, 'cancel_phase', 'waiting')
    to_canceled(step, task)
    return
  end
  local stop = owe_stop(step, task, task.attempt, task.session)
  step.cancels[#step.cancels + 1] = { task.session, task.uuid, task.attempt, reason or false, stop }
  -- It is shown canceled from now on: whoever waits for it has waited long enough.
  step.finished[#step.finished + 1] = task.uuid
end

-- Cancel the task that has this name, if it is alive. Returns its uuid then, and the task that its successor waits behind, canceled
-- now or before: itself, while it is on the wire or owed a stop; else what it was waiting behind.
local function supersede(step, name)
  local uuid = step.names[name]
  if uuid == nil then
    uuid = redis.call('HGET', step.prefix .. 'names', name)
  end
  local old = uuid and load(step, uuid)
  if not old then
    return nil
  end
  local superseded = nil
  if LIVE[old.state] and not old.cancel_at then
    cancel_task(step, old, 'superseded', true)
    superseded = uuid
  end
  if old.state == 'pending' or old.owed then
    return superseded, old
  end
  return superseded, old.blocked_by and load(step, old.blocked_by)
end

local function write_body(step, uuid, attempt, side, first, chunks)
  local key = body_key(step, uuid, attempt, side)
  for number = first, first + chunks - 1 do
    redis.call('HSET', key, int(number), blob(step))
  end
end

-- A task without a name: nothing but to write it down.
local function take_in(step, item)
  local run_at = item.run_at or step.now
  local state = run_at > step.now and 'scheduled' or 'queued'
  local ord = int(run_at + item.later)
  local fields = {
    'state', state, 'version', '1', 'lane', item.lane, 'ord', ord, 'run_at', int(run_at), 'created_at', int(step.now),
    'ttl', int(item.ttl), 'facts', int(item.facts),
  }
  local n = #fields
  if state == 'scheduled' then
    fields[n + 1], fields[n + 2], n = 'due_at', int(run_at), n + 2
  end
  if item.lapse then
    fields[n + 1], fields[n + 2], n = 'lapse', int(item.lapse), n + 2
  end
  if item.once then
    fields[n + 1], fields[n + 2], n = 'once', '1', n + 2
  end
  if item.chunks then
    fields[n + 1], fields[n + 2] = 'beside', '1'
  end
  redis.call('HSET', step.prefix .. 'task:' .. item.uuid, unpack(fields))
  add(step, step.prefix .. 'by:' .. state, 0, item.uuid)
  index_waiting(step, item.uuid, state, item.lane, ord, run_at)
  count(step, item.lane:sub(1, 16), state, 1)
end

-- A task with a name: it takes the place of the one that has it, and waits behind that one's exchange. Returns that one's uuid.
local function take_over(step, item)
  local superseded, behind = supersede(step, item.name)
  local task = create(step, item.uuid)
  local run_at = item.run_at or step.now
  put(task, 'run_at', run_at)
  put(task, 'ord', run_at + item.later)
  put(task, 'created_at', step.now)
  for _, field in ipairs({ 'lane', 'ttl', 'facts', 'name', 'lapse', 'once' }) do
    if item[field] then
      put(task, field, item[field])
    end
  end
  if item.chunks then
    put(task, 'beside', '1')
  end
  if superseded then
    put(task, 'superseded', superseded)
  end
  if behind then
    put(task, 'blocked_by', behind.uuid)
    put(behind, 'waiter', item.uuid)
    to_scheduled(task, math.max(run_at, step.now + BLOCKED_FOR_MS))
  elseif run_at > step.now then
    to_scheduled(task, run_at)
  else
    to_queued(task)
  end
  step.names[item.name] = item.uuid
  return superseded
end

-- header: a list of maps, htq.stores.redis.wire.Arrival; blobs: the spec of each, then the chunks of its body.
-- Returns for each the uuid that it took the place of, or false.
local function enqueue(keys, args)
  local step = begin(keys, args)
  local answers = {}
  for i, item in ipairs(step.header) do
    local key = step.prefix .. 'task:' .. item.uuid
    if step.tasks[item.uuid] or redis.call('EXISTS', key) == 1 then
      answers[i] = load(step, item.uuid).superseded or false
      skip_blobs(step, 1 + (item.chunks or 0))
    else
      if item.name then
        answers[i] = take_over(step, item) or false
      else
        take_in(step, item)
        answers[i] = false
      end
      redis.call('SET', step.prefix .. 'spec:' .. item.uuid, blob(step))
      if item.chunks then
        write_body(step, item.uuid, 0, 'request', 0, item.chunks)
      end
      step.queues[item.lane:sub(1, 16)] = item.queue
    end
  end
  return reply(step, answers)
end
