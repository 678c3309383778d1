-- The end of a step: who waited is let go, then every task is written, with the indexes and counters that follow from it.

local function shown(state, cancel_at)
  return state and (cancel_at and 'canceled' or state)
end

-- The task's exchange is over and its last stop is settled: what waits behind it is due.
local function let_go(step, task)
  if not task.waiter or task.state == 'pending' or task.owed then
    return
  end
  local waiter = load(step, task.waiter)
  clear(task, 'waiter')
  if not waiter or waiter.blocked_by ~= task.uuid then
    return
  end
  clear(waiter, 'blocked_by')
  if waiter.state ~= 'scheduled' then
    return -- it was canceled while it waited
  end
  if waiter.run_at <= step.now then
    to_queued(waiter)
  else
    to_scheduled(waiter, waiter.run_at)
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

local function kept(state, owed)
  return state and not LIVE[state] and not owed
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
    local queue = task.lane:sub(1, 16)
    if was.state == 'queued' then
      drop(step, prefix .. 'lane:' .. task.lane, uuid)
      step.lanes[task.lane] = true
    elseif was.state == 'scheduled' then
      drop(step, prefix .. 'due', uuid)
    elseif was.state == 'pending' then
      drop(step, prefix .. 'held:' .. was.session, uuid)
      if was.cancel_at then
        drop(step, prefix .. 'canceling:' .. was.session, uuid)
      end
    end
    if state == 'queued' or state == 'scheduled' then
      index_waiting(step, uuid, state, task.lane, task.ord, task.due_at)
    else
      step.finished[#step.finished + 1] = uuid
    end
    if LIVE[was.state] then
      count(step, queue, was.state, -1)
    end
    if LIVE[state] then
      count(step, queue, state, 1)
    end
  end
  if state == 'scheduled' and was.state == state and was.due_at ~= task.due_at then
    index_waiting(step, uuid, state, task.lane, task.ord, task.due_at)
  end
  if state == 'pending' and task.cancel_at and not was.cancel_at then
    add(step, prefix .. 'canceling:' .. task.session, 0, uuid)
  end
  if kept(state, task.owed) then
    if not kept(was.state, was.owed) or was.keep_until ~= task.keep_until then
      add(step, prefix .. 'keep', int(task.keep_until), uuid)
    end
  elseif kept(was.state, was.owed) then
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

local function write_lanes(step)
  for lane in pairs(step.lanes) do
    if redis.call('EXISTS', step.prefix .. 'lane:' .. lane) == 1 then
      enter_line(step, lane:sub(1, 16), lane)
    else
      leave_line(step, lane:sub(1, 16), lane)
    end
  end
end

local function write_counts(step)
  for queue, counts in pairs(step.counts) do
    local key = step.prefix .. 'queue:' .. queue
    local low = false
    for state, difference in pairs(counts) do
      if difference ~= 0 then
        local left = redis.call('HINCRBY', key, state, int(difference))
        low = low or left <= 0
        if state == 'queued' then
          if left > 0 then
            enter_line(step, '', queue)
          else
            leave_line(step, '', queue)
          end
        end
      end
    end
    if low then
      local left = redis.call('HMGET', key, 'scheduled', 'queued', 'pending')
      if (tonumber(left[1]) or 0) + (tonumber(left[2]) or 0) + (tonumber(left[3]) or 0) <= 0 then
        redis.call('DEL', key, step.prefix .. 'line:' .. queue, step.prefix .. 'idle:' .. queue)
        redis.call('SREM', step.prefix .. 'queues', queue)
      end
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
  for queue, name in pairs(step.queues) do
    redis.call('HSET', step.prefix .. 'queue:' .. queue, 'name', name)
    redis.call('SADD', step.prefix .. 'queues', queue)
  end
  write_names(step)
  write_lanes(step)
  write_counts(step)
end

local function reply(step, header, blobs)
  flush(step)
  local out = { cmsgpack.pack(header), publish(step) }
  for _, value in ipairs(blobs or {}) do
    out[#out + 1] = value
  end
  return out
end
