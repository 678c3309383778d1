-- What is done to waiting and ended tasks by hand: retry, run_now, patch.

-- Whether a live task has this name, be it one that is being canceled.
local function is_named(step, name)
  local task = latest_named(step, name)
  while task and not LIVE[task.state] do
    task = before(step, task)
  end
  return task ~= nil
end

-- Say what the lane of a task is called, which may have gone with its last live one.
local function recall_lane(step, task)
  local facts = cmsgpack.unpack(redis.call('GETRANGE', step.prefix .. 'spec:' .. task.uuid, task.facts, -1))
  step.new_names[queue_id(task.lane)], step.new_keys[task.lane] = facts[4], facts[5]
end

local ENDED = { 'failures', 'begun_at', 'between', 'between_owes', 'start_by', 'reason', 'finished_at', 'keep_until' }

-- Returns a Retried.
local function retry_one(step, task)
  if task.cancel_at then
    return 'canceled'
  elseif LIVE[task.state] then
    return 'live'
  elseif task.name and is_named(step, task.name) then
    return 'named'
  end
  drop_response(step, task)
  for _, field in ipairs(ENDED) do
    clear(task, field)
  end
  recall_lane(step, task)
  set_run_at(task, step.now)
  if task.owed then
    wait_for_stop(step, task)
  else
    to_queued(task)
  end
  if task.name then
    step.names[task.name] = task.uuid
  end
  return 'queued'
end

-- header: a list of uuids. Returns a Retried of each, '' for an unknown task.
local function retry(keys, args)
  local step = begin(keys, args)
  local answers = {}
  for i, uuid in ipairs(step.header) do
    local task = load(step, uuid)
    answers[i] = task and retry_one(step, task) or ''
  end
  return reply(step, answers)
end

-- header: a list of uuids. Returns the states after it, '' for an unknown task.
local function run_now(keys, args)
  local step = begin(keys, args)
  local answers = {}
  for i, uuid in ipairs(step.header) do
    local task = load(step, uuid)
    if task and task.state == 'scheduled' and not task.blocked_by then
      set_run_at(task, step.now)
      to_queued(task)
    end
    answers[i] = task and task.state or ''
  end
  return reply(step, answers)
end

local PATCHED = { 'ttl', 'facts', 'lapse', 'callback', 'start_by', 'deadline', 'run_at' }

-- header: {uuid, version, a map: htq.stores.redis.wire.Amendment}; blob: the spec. Returns a Patched, '' for an unknown task.
local function patch(keys, args)
  local step = begin(keys, args)
  local uuid, version, item = unpack(step.header)
  local task = load(step, uuid)
  if not task then
    return reply(step, '')
  elseif task.state ~= 'scheduled' and task.state ~= 'queued' then
    return reply(step, 'started')
  elseif task.version ~= version then
    return reply(step, 'stale')
  end
  for _, field in ipairs(PATCHED) do
    if item[field] then
      put(task, field, item[field])
    else
      clear(task, field)
    end
  end
  put(task, 'ord', item.run_at + item.later)
  redis.call('SET', step.prefix .. 'spec:' .. uuid, blob(step))
  if task.blocked_by then
    if task.due_at then
      to_scheduled(task, math.max(item.run_at, task.blocked_until))
    end
  else
    to_waiting(step, task)
  end
  return reply(step, 'patched')
end

verb('retry', retry, 'allow-oom')
verb('run_now', run_now, 'allow-oom')
verb('patch', patch)
