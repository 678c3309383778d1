-- enqueue: tasks come in.

-- A task that nothing but its lane and its time has to do with: nothing but to write it down.
local function take_in(step, item)
  local run_at = item.run_at or step.now
  local state = run_at > step.now and 'scheduled' or 'queued'
  local ord = int(run_at + item.later)
  local fields = {
    'state', state, 'version', '1', 'lane', item.lane, 'ord', ord, 'run_at', int(run_at), 'created_at', int(step.now),
    'ttl', int(item.ttl), 'facts', int(item.facts),
  }
  local n = 16
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
  count(step, item.lane, state, 1)
end

-- Cancel live tasks, the latest first. Returns their uuids, the first first, with commas between, or nil.
local function supersede(step, live)
  local uuids = {}
  for i, old in ipairs(live) do
    cancel_task(step, old, 'superseded', 'superseded')
    uuids[#live + 1 - i] = old.uuid
  end
  return #uuids > 0 and table.concat(uuids, ',') or nil
end

-- A task of which more is to be said. With a name it takes the place of those that have it, or waits behind the latest of them.
-- Returns the uuids of the former, with commas between, or nil.
local function take_over(step, item)
  local task = create(step, item.uuid)
  local run_at = item.run_at or step.now
  put(task, 'run_at', run_at)
  put(task, 'ord', run_at + item.later)
  put(task, 'created_at', step.now)
  for _, field in ipairs({ 'lane', 'ttl', 'facts', 'name', 'lapse', 'once', 'group', 'callback', 'start_by', 'deadline' }) do
    if item[field] then
      put(task, field, item[field])
    end
  end
  if item.cost then
    put(task, 'cost', cmsgpack.pack(item.cost))
  end
  if item.chunks then
    put(task, 'beside', '1')
  end
  local superseded
  local live = item.name and live_named(step, item.name) or {}
  if #live > 0 and item.on_conflict == 'queue_after' then
    block(step, task, live[1])
    to_scheduled(task, nil)
  else
    superseded = supersede(step, live)
    local behind = item.name and exchange_of(step, item.name)
    if superseded then
      put(task, 'superseded', superseded)
    end
    if behind then
      block(step, task, behind)
      wait_for_exchange(step, task)
    else
      to_waiting(step, task)
    end
  end
  if item.name then
    step.names[item.name] = item.uuid
  end
  return superseded
end

-- What an idempotency key was used for: until when (ms), the task's uuid, the fingerprint; or nil, if its time is over.
local function use_of(step, key)
  local row = redis.call('HGET', step.prefix .. 'once', key)
  if not row then
    return nil
  end
  local until_, uuid, fingerprint = row:match('^(%d+) (%S+) (.*)$')
  if tonumber(until_) <= step.now then
    return nil
  end
  return uuid, fingerprint
end

local function use_key(step, item, uuid)
  local until_ = int(step.now + item.keep_for)
  redis.call('HSET', step.prefix .. 'once', item.key, until_ .. ' ' .. uuid .. ' ' .. item.fingerprint)
  redis.call('ZADD', step.prefix .. 'once:until', until_, item.key)
end

-- Whether a task of this uuid is there. `planned` {uuids, keys, names}: what the calls' earlier items would bring, in a rehearsal.
local function is_known(step, uuid, planned)
  return step.tasks[uuid] or planned and planned.uuids[uuid] or redis.call('EXISTS', step.prefix .. 'task:' .. uuid) == 1
end

-- What stands in a task's way, as an EnqueueOutcome and the uuid of the task in its place; nil: it may be taken.
local function obstacle(step, item, planned)
  if item.key then
    local uuid, fingerprint = use_of(step, item.key)
    local plan = planned and planned.keys[item.key]
    if plan then
      uuid, fingerprint = plan.uuid, plan.fingerprint
    end
    if uuid then
      return fingerprint == item.fingerprint and 'replayed' or 'mismatch', uuid
    end
  end
  if item.group and is_closed(step, item.group) then
    return 'closed', item.uuid
  end
  if item.name and (item.on_conflict == 'reject' or item.on_conflict == 'return_existing') then
    local live = live_named(step, item.name)[1]
    local uuid = planned and planned.names[item.name] or live and live.uuid
    if uuid then
      return item.on_conflict == 'reject' and 'rejected' or 'existing', uuid
    end
  end
  return nil
end

local function superseded_of(step, uuid)
  local known = step.tasks[uuid] or load(step, uuid)
  return known and known.superseded or false
end

local REFUSED = { mismatch = true, rejected = true, closed = true }

-- Of a call of which all or nothing is to be taken: whether something would be refused, and then what is to be answered.
local function rehearse(step, items)
  local planned = { uuids = {}, keys = {}, names = {} }
  local answers, refused = {}, false
  for i, item in ipairs(items) do
    if is_known(step, item.uuid, planned) then
      answers[i] = { 'created', item.uuid, superseded_of(step, item.uuid) }
    else
      local outcome, uuid = obstacle(step, item, planned)
      answers[i] = { outcome or 'untaken', uuid or item.uuid, false }
      refused = refused or REFUSED[outcome]
      if not outcome then
        planned.uuids[item.uuid] = true
      end
      if item.key and (not outcome or outcome == 'existing') then
        planned.keys[item.key] = { uuid = uuid or item.uuid, fingerprint = item.fingerprint }
      end
      if item.name and not outcome then
        planned.names[item.name] = item.uuid
      end
    end
  end
  return refused, answers
end

-- Take one task, if nothing stands in its way. Its blobs are used up, or passed over. Returns false where it was simply taken, else
-- {EnqueueOutcome, uuid, the uuids that it took the place of, with commas between, or false}.
local function enqueue_one(step, item)
  if is_known(step, item.uuid) then
    skip_blobs(step, 1 + (item.chunks or 0))
    local superseded = superseded_of(step, item.uuid)
    return superseded and { 'created', item.uuid, superseded }
  end
  local answer = false
  if not item.more then
    take_in(step, item)
  else
    local outcome, uuid = obstacle(step, item)
    if item.key and (not outcome or outcome == 'existing') then
      use_key(step, item, uuid or item.uuid)
    end
    if outcome then
      skip_blobs(step, 1 + (item.chunks or 0))
      return { outcome, uuid, false }
    end
    if item.group then
      ensure_group(step, item.group, item.tenant, item.group_name)
    end
    local superseded = take_over(step, item)
    answer = superseded and { 'created', item.uuid, superseded } or false
  end
  redis.call('SET', step.prefix .. 'spec:' .. item.uuid, blob(step))
  if item.chunks then
    write_body(step, item.uuid, 0, 'request', 0, item.chunks)
  end
  return answer
end

-- header: {list of maps, htq.stores.redis.wire.Arrival, {queue -> its name}, {lane -> its key}, whether all or nothing is to be taken};
-- blobs: the spec of each, then the chunks of its body. Returns of each what `enqueue_one` does.
local function enqueue(keys, args)
  local step = begin(keys, args)
  local items, atomic = step.header[1], step.header[4]
  step.new_names, step.new_keys = step.header[2], step.header[3]
  if atomic then
    local refused, answers = rehearse(step, items)
    if refused then
      return reply(step, answers)
    end
  end
  local answers = {}
  for i, item in ipairs(items) do
    answers[i] = enqueue_one(step, item)
  end
  return reply(step, answers)
end

verb('enqueue', enqueue)
