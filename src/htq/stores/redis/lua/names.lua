-- Cancels, and names: what becomes of a new task where a live one has its name.

local function cancel_waiting(step, task)
  if task.between and task.between == task.attempt then
    put(task, 'cancel_phase', 'between_attempts')
    if task.between_owes == task.attempt then
      owe_stop(step, task, task.attempt, '-')
    end
  else
    put(task, 'cancel_phase', 'waiting')
  end
  to_canceled(step, task)
end

-- Cancel a task, once. The first request counts. `as`: the reason of the task, where it is not `canceled`.
local function cancel_task(step, task, reason, as)
  if task.cancel_at then
    return
  end
  local state = task.state
  put(task, 'cancel_at', step.now)
  if reason then
    put(task, 'cancel_reason', reason)
  end
  if as then
    put(task, 'cancel_as', as)
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
    cancel_waiting(step, task)
    return
  end
  local stop = owe_stop(step, task, task.attempt, task.session)
  step.cancels[#step.cancels + 1] = { task.session, task.uuid, task.attempt, reason or false, stop }
  -- It is shown canceled from now on: whoever waits for it has waited long enough.
  step.finished[#step.finished + 1] = task.uuid
end

-- End a task that waits and is past a time of its own. Returns whether it was.
local function end_overdue(step, task)
  if not LIVE[task.state] or task.cancel_at then
    return false
  end
  if starts_by(task) and task.start_by <= step.now then
    to_final(step, task, 'timeout', 'expired')
    return true
  end
  if task.deadline and task.deadline <= step.now then
    cancel_task(step, task, 'deadline', 'deadline')
    return true
  end
  return false
end

local function is_live(task)
  return LIVE[task.state] and not task.cancel_at
end

-- The latest task that has a name, as far as anybody need wait for it, or nil.
local function latest_named(step, name)
  local uuid = step.names[name]
  if uuid == nil then
    uuid = redis.call('HGET', step.prefix .. 'names', name)
  end
  return uuid and load(step, uuid) or nil
end

-- The live tasks that have a name, the latest first: each but the first waits behind the next.
local function live_named(step, name)
  local found = {}
  local task = latest_named(step, name)
  while task do
    if is_live(task) then
      found[#found + 1] = task
    end
    task = before(step, task)
  end
  return found
end

-- The exchange that the latest task with a name, or what that one was waiting behind, has not ended yet.
local function exchange_of(step, name)
  local task = latest_named(step, name)
  while task do
    if task.state == 'pending' or task.owed then
      return task
    end
    task = before(step, task)
  end
  return nil
end

-- `task` waits behind `behind` from now on, in the place of whoever did.
local function block(step, task, behind)
  local former = behind.waiter and load(step, behind.waiter)
  if former and former.blocked_by == behind.uuid then
    clear(former, 'blocked_by')
  end
  put(task, 'blocked_by', behind.uuid)
  put(behind, 'waiter', task.uuid)
end
