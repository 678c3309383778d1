--[[
A task's record, the hash P task:<uuid>. Fields that would be empty or have their usual value are absent.

state, version, lane, ord, run_at, created_at
ttl             ms for which the final task is kept
lapse           ms for which a stop of it is worth sending; absent: its policy says that no DELETE is sent
once            1: at most once
name            digest of its name
superseded      uuid of the task that it took the place of
beside          1: the request's body lies beside
facts           at which byte of its spec the facts begin, which filters look at
attempt, crashes
spooled         the attempt whose response's body lies beside
session, claimed_at   pending: who has it, and since when; in other states they mean nothing
due_at          scheduled: when it may be queued
blocked_by      the task behind whose exchange it waits, or waited until it was canceled
waiter          the task that waits behind this one's
loose           "1,3": attempts whose end is unknown
owed            how many stops of it are unsettled
finished_at, keep_until, reason
response        1: there is one
cancel_at, cancel_reason, cancel_phase, interrupted_at
superseding     1: the cancel is a supersede
stop_attempt, stop_state, stop_code, stop_tries, stop_ms, stop_proof: what came of the cancel's DELETE
]]

local NUMBERS = {
  version = true, attempt = true, crashes = true, owed = true, cancel_at = true, run_at = true, due_at = true,
  ttl = true, lapse = true, keep_until = true, spooled = true, stop_attempt = true, claimed_at = true,
}

local UNSENT = { waiting = true, claimed = true, connecting = true }

local function remember(step, task)
  task.dirty = {}
  step.tasks[task.uuid] = task
  step.order[#step.order + 1] = task
  return task
end

local function load(step, uuid)
  local task = step.tasks[uuid]
  if task ~= nil then
    return task
  end
  local flat = redis.call('HGETALL', step.prefix .. 'task:' .. uuid)
  if #flat == 0 then
    return nil
  end
  task = { uuid = uuid }
  for i = 1, #flat, 2 do
    local field = flat[i]
    if NUMBERS[field] then
      task[field] = tonumber(flat[i + 1])
    else
      task[field] = flat[i + 1]
    end
  end
  task.was = {
    state = task.state, cancel_at = task.cancel_at, session = task.session, owed = task.owed,
    due_at = task.due_at, keep_until = task.keep_until, blocked_by = task.blocked_by,
  }
  return remember(step, task)
end

local function create(step, uuid)
  return remember(step, { uuid = uuid, was = {} })
end

local function put(task, field, value)
  task[field] = value
  task.dirty[field] = true
end

local function clear(task, field)
  if task[field] ~= nil then
    task[field] = nil
    task.dirty[field] = true
  end
end

local function body_key(step, uuid, attempt, side)
  return step.prefix .. 'body:' .. int(attempt) .. ':' .. side .. ':' .. uuid
end

local function drop_spooled(step, task)
  if task.spooled then
    redis.call('UNLINK', body_key(step, task.uuid, task.spooled, 'response'))
    clear(task, 'spooled')
  end
end

local function drop_response(step, task)
  if task.response then
    redis.call('UNLINK', step.prefix .. 'response:' .. task.uuid)
    clear(task, 'response')
    drop_spooled(step, task)
  end
end

local function leave_pending(task)
  clear(task, 'session')
  clear(task, 'claimed_at')
end

local function to_queued(task)
  leave_pending(task)
  clear(task, 'due_at')
  clear(task, 'blocked_by')
  put(task, 'state', 'queued')
end

local function to_scheduled(task, due_at)
  leave_pending(task)
  put(task, 'due_at', due_at)
  put(task, 'state', 'scheduled')
end

local function to_final(step, task, state, reason)
  leave_pending(task)
  clear(task, 'due_at')
  if task.blocked_by == task.uuid then
    clear(task, 'blocked_by')
  end
  clear(task, 'reason')
  if reason then
    put(task, 'reason', reason)
  end
  put(task, 'state', state)
  put(task, 'finished_at', step.now)
  put(task, 'keep_until', step.now + task.ttl)
end

local function to_canceled(step, task)
  clear(task, 'loose')
  to_final(step, task, 'canceled', task.superseding and 'superseded' or 'canceled')
end

local function add_loose(task)
  put(task, 'loose', (task.loose and task.loose .. ',' or '') .. int(task.attempt))
end
