-- Stops: the DELETEs that are owed. Rows stay after they are settled, for a settling that is repeated, until the task is forgotten.

local function stop_member(uuid, attempt)
  return int(attempt) .. ':' .. uuid
end

local function split_member(member)
  local attempt, uuid = member:match('^(%d+):(.*)$')
  return tonumber(attempt), uuid
end

-- A stop as {state, by: who holds or settled it, lapses_at}, or nil.
local function stop_row(step, uuid, attempt)
  local row = redis.call('HGET', step.prefix .. 'stop:' .. uuid, int(attempt))
  if not row then
    return nil
  end
  local state, by, lapses_at = row:match('^(%S+) (%S+) (%S+)')
  return { state = state, by = by, lapses_at = tonumber(lapses_at) }
end

-- `answer`: what came of it, once it is settled.
local function write_stop(step, uuid, attempt, state, by, lapses_at, answer)
  local row = state .. ' ' .. by .. ' ' .. int(lapses_at) .. (answer or '')
  redis.call('HSET', step.prefix .. 'stop:' .. uuid, int(attempt), row)
end

local function holders_key(step, holder)
  return step.prefix .. (holder == '-' and 'stops' or 'stops:' .. holder)
end

-- Owe a stop, held by a session or by nobody ('-'). Returns whether one was written: the task's policy may say none.
local function owe_stop(step, task, attempt, holder)
  if not task.lapse then
    return false
  end
  if stop_row(step, task.uuid, attempt) then
    return false
  end
  local lapses_at = step.now + task.lapse
  local member = stop_member(task.uuid, attempt)
  write_stop(step, task.uuid, attempt, 'owed', holder, lapses_at)
  redis.call('ZADD', holders_key(step, holder), int(lapses_at), member)
  redis.call('ZADD', step.prefix .. 'lapse', int(lapses_at), member)
  put(task, 'owed', (task.owed or 0) + 1)
  if holder == '-' then
    step.available = true
  end
  return true
end

local function owe_loose_stops(step, task)
  for attempt in (task.loose or ''):gmatch('%d+') do
    owe_stop(step, task, tonumber(attempt), '-')
  end
  clear(task, 'loose')
end

-- An unsettled stop is held by `holder` from now on.
local function hold_stop(step, uuid, attempt, holder)
  local stop = stop_row(step, uuid, attempt)
  local member = stop_member(uuid, attempt)
  redis.call('ZREM', holders_key(step, stop.by), member)
  redis.call('ZADD', holders_key(step, holder), int(stop.lapses_at), member)
  write_stop(step, uuid, attempt, 'owed', holder, stop.lapses_at)
end

-- Settle an unsettled stop. `how` has state, code, tries, elapsed_ms and proof. The cancel's record keeps the one that says most:
-- any before `none`, then that of the latest attempt.
local function settle_stop(step, task, attempt, how)
  local stop = stop_row(step, task.uuid, attempt)
  local member = stop_member(task.uuid, attempt)
  redis.call('ZREM', holders_key(step, stop.by), member)
  redis.call('ZREM', step.prefix .. 'lapse', member)
  local code, tries = how.code and int(how.code), int(how.tries or 0)
  local elapsed = how.elapsed_ms and string.format('%.17g', how.elapsed_ms)
  local answer = ' ' .. (code or '-') .. ' ' .. tries .. ' ' .. (elapsed or '-')
  write_stop(step, task.uuid, attempt, how.state, stop.by, stop.lapses_at, answer)
  local left = task.owed - 1
  if left > 0 then
    put(task, 'owed', left)
  else
    clear(task, 'owed')
  end
  if not task.cancel_at then
    return
  end
  step.finished[#step.finished + 1] = task.uuid
  local known = task.stop_state and task.stop_state ~= 'none'
  if known and (how.state == 'none' or attempt < task.stop_attempt) then
    return
  end
  put(task, 'stop_attempt', attempt)
  put(task, 'stop_state', how.state)
  put(task, 'stop_tries', how.tries or 0)
  for field, value in pairs({
    stop_code = how.code or false,
    stop_ms = elapsed or false,
    stop_proof = how.proof or false,
  }) do
    if value then
      put(task, field, value)
    else
      clear(task, field)
    end
  end
end

-- At most `limit` stops of a session that has ended are held by nobody from now on. Returns whether that were all.
local function free_stops(step, session, limit)
  local members = redis.call('ZRANGE', step.prefix .. 'stops:' .. session, 0, limit - 1)
  for _, member in ipairs(members) do
    local attempt, uuid = split_member(member)
    hold_stop(step, uuid, attempt, '-')
    step.available = true
  end
  return #members < limit
end
