-- cancel, delete_response, and what has to be done now and then, by anybody: promote, forget.

-- header: a list of {uuid, reason or false}. Returns the states after it, '' for an unknown task.
local function cancel(keys, args)
  local step = begin(keys, args)
  local answers = {}
  for i, item in ipairs(step.header) do
    local task = load(step, item[1])
    if task then
      cancel_task(step, task, item[2], false)
    end
    answers[i] = task and task.state or ''
  end
  return reply(step, answers)
end

-- header: a list of uuids. Returns booleans.
local function delete_response(keys, args)
  local step = begin(keys, args)
  local answers = {}
  for i, uuid in ipairs(step.header) do
    local task = load(step, uuid)
    answers[i] = task ~= nil and task.response ~= nil
    if task then
      drop_response(step, task)
    end
  end
  return reply(step, answers)
end

-- header: {limit}. Returns how many scheduled tasks were queued, and when the next one is due (0: none is).
local function promote(keys, args)
  local step = begin(keys, args)
  local due = redis.call('ZRANGEBYSCORE', step.prefix .. 'due', '-inf', int(step.now), 'LIMIT', 0, step.header[1])
  for _, uuid in ipairs(due) do
    local task = load(step, uuid)
    if task then
      to_queued(task)
    end
  end
  local next_due = redis.call('ZRANGE', step.prefix .. 'due', #due, #due, 'WITHSCORES')
  return reply(step, { #due, tonumber(next_due[2]) or 0 })
end

-- header: {limit}. Returns how many final tasks were removed. One with an unsettled stop is not in `keep`.
local function forget(keys, args)
  local step = begin(keys, args)
  local prefix = step.prefix
  local uuids = redis.call('ZRANGEBYSCORE', prefix .. 'keep', '-inf', int(step.now), 'LIMIT', 0, step.header[1])
  local gone = {}
  for _, uuid in ipairs(uuids) do
    local task = redis.call('HMGET', prefix .. 'task:' .. uuid, 'state', 'spooled', 'beside', 'name', 'blocked_by')
    for _, kind in ipairs({ 'task:', 'spec:', 'response:', 'attempts:', 'stop:' }) do
      gone[#gone + 1] = prefix .. kind .. uuid
    end
    if task[2] then
      gone[#gone + 1] = body_key(step, uuid, tonumber(task[2]), 'response')
    end
    if task[3] then
      gone[#gone + 1] = body_key(step, uuid, 0, 'request')
    end
    drop(step, prefix .. 'keep', uuid)
    if task[4] and redis.call('HGET', prefix .. 'names', task[4]) == uuid then
      step.names[task[4]] = task[5]
    end
    if task[1] then
      drop(step, prefix .. 'by:' .. task[1], uuid)
    end
  end
  for first = 1, #gone, PART do
    redis.call('UNLINK', unpack(gone, first, math.min(first + PART - 1, #gone)))
  end
  return reply(step, #uuids)
end
