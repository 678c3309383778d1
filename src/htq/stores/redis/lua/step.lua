--[[
A step: what one call works with. The tasks that it touches are read once, changed in memory and written back at its end by
`flush` (flush.lua), which derives every index and counter from what each task was and is. Verbs never touch those themselves.
]]

local function begin(keys, args)
  texts = {}
  local now_us
  if args[1] == '' then
    local time = redis.call('TIME')
    now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
  else
    now_us = tonumber(args[1]) * 1000
  end
  return {
    prefix = keys[1],
    now_us = now_us,
    now = math.floor(now_us / 1000),
    moment = math.floor(now_us / 1000) * 1000,
    origin = args[2],
    header = cmsgpack.unpack(args[3]),
    args = args,
    next_blob = 4,
    tasks = {},    -- uuid -> task
    order = {},    -- the same tasks, in the order of their being met
    names = {},    -- digest -> uuid or false: what `names` will hold
    adds = {},     -- key -> {score, member, ...}
    drops = {},    -- key -> {member, ...}
    counts = {},   -- lane -> {scheduled, queued, pending}: differences
    touched = {},  -- lane -> true: tasks came into its line or left it, or its record changed
    settled = {},  -- lane -> true: those whose place is right already
    new_names = {},-- queue -> its name, as far as it may be new
    new_keys = {}, -- lane -> its key, likewise
    queues = {},   -- queue -> its record, once it was read (limits.lua)
    lanes = {},    -- lane -> its record, likewise
    groups = {},   -- group -> {state -> difference}
    available = false,
    due_at = 0,
    finished = {},
    cancels = {},
    completed = {},
    todo = false,
    todo_at = 0,
  }
end

local function blob(step)
  local value = step.args[step.next_blob]
  step.next_blob = step.next_blob + 1
  return value
end

local function skip_blobs(step, count)
  step.next_blob = step.next_blob + count
end

local function add(step, key, score, member)
  local list = step.adds[key]
  if not list then
    list = {}
    step.adds[key] = list
  end
  local count = #list
  list[count + 1] = score
  list[count + 2] = member
end

local function drop(step, key, member)
  local list = step.drops[key]
  if not list then
    list = {}
    step.drops[key] = list
  end
  list[#list + 1] = member
end

local function count(step, lane, state, difference)
  local counts = step.counts[lane]
  if not counts then
    counts = { scheduled = 0, queued = 0, pending = 0 }
    step.counts[lane] = counts
  end
  counts[state] = counts[state] + difference
end

-- Enter a task that is there for the first time, or again, in the indexes of the state in which it waits. One that waits until
-- another has ended has no `due_at`.
local function index_waiting(step, uuid, state, lane, ord, due_at)
  if state == 'queued' then
    add(step, step.prefix .. 'lane:' .. lane, ord, uuid)
    step.touched[lane] = true
    step.settled[lane] = nil
    step.available = true
  elseif due_at then
    add(step, step.prefix .. 'due', int(due_at), uuid)
    if step.due_at == 0 or due_at < step.due_at then
      step.due_at = due_at
    end
  end
end

-- A time of the keepers' has come nearer.
local function todo_at(step, at)
  if step.todo_at == 0 or at < step.todo_at then
    step.todo_at = at
  end
end
