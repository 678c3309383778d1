--[[
A task's record, the hash P task:<uuid>. Fields that would be empty or have their usual value are absent.

state, version, lane, ord, run_at, created_at
ttl             ms for which the final task is kept
lapse           ms for which a stop of it is worth sending; absent: its policy says that no DELETE is sent
once            1: at most once
name            digest of its name
superseded      uuids of the tasks that it took the place of, with commas between
group           digest of its group
callback        " success error ": the ends of which its callback tells
calls           how many callbacks of it are owed
cost            msgpack of {unit -> how many}
start_by, deadline
beside          1: the request's body lies beside
facts           at which byte of its spec the facts begin, which filters look at
attempt, crashes
failures        attempts that ended with a retry
begun_at        once a first attempt has led to another: when that one began
between         the attempt that ended with a retry, the last one; between_owes: the same, if a cancel now owes a stop for it
spooled         the attempt whose response's body lies beside
session, claimed_at   pending: who has it, and since when; in other states they mean nothing
due_at          scheduled: when it may be queued; absent: when what it waits behind has ended
blocked_by      the task behind which it waits, or waited until it was canceled; itself: behind its own stop
blocked_until   until when it waits behind that at most, if not until its end
waiter          the task that waits behind this one
loose           "1,3": attempts whose end is unknown
owed            how many stops of it are unsettled
finished_at, keep_until, reason
response        1: there is one
cancel_at, cancel_reason, cancel_phase, interrupted_at
cancel_as       the reason of the task that is canceled, if it is not `canceled`
stop_attempt, stop_state, stop_code, stop_tries, stop_ms, stop_proof: what came of the cancel's DELETE
]]

local NUMBERS = {
  version = true, attempt = true, crashes = true, owed = true, cancel_at = true, run_at = true, due_at = true,
  ttl = true, lapse = true, keep_until = true, spooled = true, stop_attempt = true, claimed_at = true, ord = true,
  failures = true, begun_at = true, between = true, between_owes = true, calls = true, start_by = true, deadline = true,
  blocked_until = true,
}

local UNSENT = { waiting = true, claimed = true, connecting = true }

-- Until when a task must have begun, if it has not, or nil.
local function starts_by(task)
  return task.state ~= 'pending' and (task.attempt or 0) == 0 and task.start_by or nil
end

-- The next time at which `expire` has to do with a task, or nil.
local function expiry_of(task)
  if not LIVE[task.state] or task.cancel_at then
    return nil
  end
  local start_by = starts_by(task)
  if start_by and task.deadline then
    return math.min(start_by, task.deadline)
  end
  return start_by or task.deadline
end

local function index_times(step, task)
  local was, is = task.was.expires_at, expiry_of(task)
  if is == was then
    return
  end
  if is then
    add(step, step.prefix .. 'expire', int(is), task.uuid)
    todo_at(step, is)
  else
    drop(step, step.prefix .. 'expire', task.uuid)
  end
end

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
    state = task.state, cancel_at = task.cancel_at, session = task.session, owed = task.owed, ord = task.ord,
    due_at = task.due_at, keep_until = task.keep_until, blocked_by = task.blocked_by, calls = task.calls,
    expires_at = expiry_of(task),
  }
  return remember(step, task)
end

-- What a task waits behind, or waited until it was canceled, or nil.
local function before(step, task)
  local uuid = task.blocked_by
  return uuid and uuid ~= task.uuid and load(step, uuid) or nil
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

local function write_body(step, uuid, attempt, side, first, chunks)
  local key = body_key(step, uuid, attempt, side)
  for number = first, first + chunks - 1 do
    redis.call('HSET', key, int(number), blob(step))
  end
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
  if task.state == 'pending' and not task.begun_at then
    put(task, 'begun_at', task.claimed_at)
  end
  clear(task, 'session')
  clear(task, 'claimed_at')
end

local function to_queued(task)
  leave_pending(task)
  clear(task, 'due_at')
  clear(task, 'blocked_by')
  clear(task, 'blocked_until')
  put(task, 'state', 'queued')
end

-- `due_at` nil: not before what it waits behind has ended.
local function to_scheduled(task, due_at)
  leave_pending(task)
  if due_at then
    put(task, 'due_at', due_at)
  else
    clear(task, 'due_at')
  end
  put(task, 'state', 'scheduled')
end

-- It waits behind an exchange, for a bounded time, and until `run_at` besides.
local function wait_for_exchange(step, task)
  put(task, 'blocked_until', step.now + BLOCKED_FOR_MS)
  to_scheduled(task, math.max(task.run_at, task.blocked_until))
end

-- The next attempt waits behind the stop of the last one.
local function wait_for_stop(step, task)
  put(task, 'blocked_by', task.uuid)
  wait_for_exchange(step, task)
end

-- Nothing but a time is left to wait for.
local function to_waiting(step, task)
  clear(task, 'blocked_by')
  clear(task, 'blocked_until')
  if task.run_at <= step.now then
    to_queued(task)
  else
    to_scheduled(task, task.run_at)
  end
end

-- Another time, and its order in the lane with it: its priority stays.
local function set_run_at(task, run_at)
  put(task, 'ord', task.ord - task.run_at + run_at)
  put(task, 'run_at', run_at)
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
  to_final(step, task, 'canceled', task.cancel_as or 'canceled')
end

local function add_loose(task)
  put(task, 'loose', (task.loose and task.loose .. ',' or '') .. int(task.attempt))
end
