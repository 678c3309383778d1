-- The end of a step: who waited is let go, then every task is written, with the indexes and counters that follow from it.

local function shown(state, cancel_at)
  return state and (cancel_at and 'canceled' or state)
end

-- What waited behind a task that ends while it waits itself waits behind whatever that one was waiting for. Returns whether that
-- is anything.
local function pass_on(step, task, waiter)
  local behind = before(step, task)
  while behind and not (LIVE[behind.state] or behind.owed) do
    behind = before(step, behind)
  end
  if not behind then
    return false
  end
  clear(task, 'waiter')
  clear(task, 'blocked_by')
  put(behind, 'waiter', waiter.uuid)
  put(waiter, 'blocked_by', behind.uuid)
  return true
end

-- The task has left the wire and its last stop is settled: it waits for itself no longer, and who waits behind its exchange is due.
-- One that came with `queue_after` (it has no time of its own) is due when the task is final.
local function let_go(step, task)
  if task.state == 'pending' or task.owed then
    return
  end
  if task.blocked_by == task.uuid then
    if task.state == 'scheduled' then
      to_waiting(step, task)
    else
      clear(task, 'blocked_by')
    end
  end
  if not task.waiter then
    return
  end
  local waiter = load(step, task.waiter)
  if not waiter or waiter.blocked_by ~= task.uuid then
    clear(task, 'waiter')
    return
  end
  local behind_exchange = waiter.state == 'scheduled' and waiter.due_at
  if LIVE[task.state] and not behind_exchange then
    return
  end
  if pass_on(step, task, waiter) then
    return
  end
  clear(task, 'waiter')
  if waiter.state == 'scheduled' then
    to_waiting(step, waiter)
  else
    clear(waiter, 'blocked_by') -- it was canceled while it waited
  end
end

-- Whether a newer task with its name has to cancel it or to wait for it.
local function holds_name(task)
  return LIVE[task.state] and not task.cancel_at or task.state == 'pending' or task.owed or task.blocked_by
end

-- A task that need not be known by its name any more gives it free, unless a newer one has it.
local function free_name(step, task)
  if not holds_name(task.was) or holds_name(task) then
    return
  end
  local holder = step.names[task.name]
  if holder == nil then
    holder = redis.call('HGET', step.prefix .. 'names', task.name)
  end
  if holder == task.uuid then
    step.names[task.name] = false
  end
end

-- Whether `forget` may remove it in time.
local function kept(state, owed, calls)
  return state and not LIVE[state] and not owed and not calls
end

-- It has left the state in which it was.
local function leave_place(step, task)
  local prefix, uuid, was = step.prefix, task.uuid, task.was
  if was.state == 'queued' then
    drop(step, prefix .. 'lane:' .. task.lane, uuid)
    step.touched[task.lane] = true
  elseif was.state == 'scheduled' then
    drop(step, prefix .. 'due', uuid)
  elseif was.state == 'pending' then
    drop(step, prefix .. 'held:' .. was.session, uuid)
    if was.cancel_at then
      drop(step, prefix .. 'canceling:' .. was.session, uuid)
    end
  end
  if LIVE[was.state] then
    count(step, task.lane, was.state, -1)
  end
end

-- It has come into the state in which it is.
local function take_place(step, task)
  local was, state = task.was, task.state
  if LIVE[state] then
    index_waiting(step, task.uuid, state, task.lane, task.ord, task.due_at)
    count(step, task.lane, state, 1)
  else
    step.finished[#step.finished + 1] = task.uuid
    if not was.state or LIVE[was.state] then
      owe_task_callback(step, task)
    end
  end
  if task.group then
    count_group(step, task.group, was.state, state)
  end
end

-- Move a task from where it was to where it is now, in every index. Into `pending` there is one way, and claims.lua goes it.
local function place(step, task)
  local prefix, uuid, was, state = step.prefix, task.uuid, task.was, task.state
  local showed, shows = shown(was.state, was.cancel_at), shown(state, task.cancel_at)
  if showed ~= shows then
    if showed then
      drop(step, prefix .. 'by:' .. showed, uuid)
    end
    add(step, prefix .. 'by:' .. shows, 0, uuid)
  end
  if was.state ~= state then
    leave_place(step, task)
    take_place(step, task)
  elseif state == 'scheduled' and was.due_at ~= task.due_at then
    drop(step, prefix .. 'due', uuid)
    index_waiting(step, uuid, state, task.lane, task.ord, task.due_at)
  elseif state == 'queued' and was.ord ~= task.ord then
    index_waiting(step, uuid, state, task.lane, task.ord)
  elseif state == 'pending' and task.cancel_at and not was.cancel_at then
    add(step, prefix .. 'canceling:' .. task.session, 0, uuid)
  end
  index_times(step, task)
  if kept(state, task.owed, task.calls) then
    if not kept(was.state, was.owed, was.calls) or was.keep_until ~= task.keep_until then
      add(step, prefix .. 'keep', int(task.keep_until), uuid)
    end
  elseif kept(was.state, was.owed, was.calls) then
    drop(step, prefix .. 'keep', uuid)
  end
  if task.name then
    free_name(step, task)
  end
end

local function write(step, task)
  local key = step.prefix .. 'task:' .. task.uuid
  put(task, 'version', (task.version or 0) + 1)
  local set, gone = {}, {}
  local n = 0
  for field in pairs(task.dirty) do
    local value = task[field]
    if value == nil then
      gone[#gone + 1] = field
    else
      set[n + 1] = field
      set[n + 2] = type(value) == 'number' and int(value) or value
      n = n + 2
    end
  end
  redis.call('HSET', key, unpack(set))
  if #gone > 0 and task.was.state then
    redis.call('HDEL', key, unpack(gone))
  end
end

local function write_names(step)
  for name, uuid in pairs(step.names) do
    if uuid then
      redis.call('HSET', step.prefix .. 'names', name, uuid)
    else
      redis.call('HDEL', step.prefix .. 'names', name)
    end
  end
end

local function flush(step)
  local order = step.order
  local i = 1
  while i <= #order do
    let_go(step, order[i]) -- may load the waiter, which comes later in `order`, or again an earlier one, which needs no look
    i = i + 1
  end
  for _, task in ipairs(order) do
    if next(task.dirty) then
      place(step, task)
      write(step, task)
    end
  end
  for key, members in pairs(step.drops) do
    many('ZREM', key, members)
  end
  for key, pairs_of in pairs(step.adds) do
    many('ZADD', key, pairs_of)
  end
  write_names(step)
  write_counts(step)
  write_groups(step)
end

-- What a function gives back once its step is flushed.
local function answer(step, header, blobs)
  local out = { cmsgpack.pack(header), publish(step) }
  for _, value in ipairs(blobs or {}) do
    out[#out + 1] = value
  end
  return out
end

local function reply(step, header, blobs)
  flush(step)
  return answer(step, header, blobs)
end
