-- The end of a step, as far as lanes and queues are concerned: their counts, and their places in line.

local function lanes_by_queue(step)
  local queues = {}
  local function note(lane)
    local queue = queue_id(lane)
    local list = queues[queue]
    if not list then
      list = {}
      queues[queue] = list
    end
    list[#list + 1] = lane
  end
  for lane in pairs(step.counts) do
    note(lane)
  end
  for lane in pairs(step.touched) do
    if not step.counts[lane] then
      note(lane)
    end
  end
  return queues
end

local NO_COUNTS = { scheduled = 0, queued = 0, pending = 0 }

-- A lane of a queue without limits has its place in line while it has tasks, and that is all.
local function settle_plain(step, queue, id)
  local counts = step.counts[id] or NO_COUNTS
  if counts.queued > 0 or redis.call('EXISTS', step.prefix .. 'lane:' .. id) == 1 then
    enter_line(step, queue, id, 0)
  else
    leave_line(step, queue, id)
  end
end

-- The last live task of a lane has gone: is there anything to be remembered of it?
local function outlives(step, queue, id)
  if not queue.limited then
    return false
  end
  local lane = limited_lane(step, id)
  local fades = lane.recorded and fades_at(step, lane)
  if fades then
    redis.call('ZADD', step.prefix .. 'faded', int(fades), id)
  end
  return lane.recorded
end

-- Count the tasks of a queue's lanes, and put the lanes where they belong.
local function write_lanes(step, queue, ids)
  local key = step.prefix .. 'lanes:' .. queue.id
  local rows = many_of('HMGET', key, ids)
  local set, gone, running_of = {}, {}, {}
  for i, id in ipairs(ids) do
    local counts = step.counts[id] or NO_COUNTS
    local live, running, name = 0, 0, step.new_keys[id]
    if rows[i] then
      live, running, name = rows[i]:match('^(%d+) (%d+) (.*)$')
    end
    live = math.max(live + counts.scheduled + counts.queued + counts.pending, 0)
    running = math.max(running + counts.pending, 0)
    queue.scheduled = queue.scheduled + counts.scheduled
    queue.queued = queue.queued + counts.queued
    queue.pending = queue.pending + counts.pending
    running_of[i] = running
    local lane = step.lanes[id]
    if lane and lane.dirty then
      write_lane(step, lane)
    end
    if live > 0 or outlives(step, queue, id) then
      set[#set + 1] = id
      set[#set + 1] = int(live) .. ' ' .. int(running) .. ' ' .. (name or '')
    else
      gone[#gone + 1] = id
    end
  end
  many('HSET', key, set)
  many('HDEL', key, gone)
  for i, id in ipairs(ids) do
    if queue.limited then
      if not step.settled[id] then
        settle_lane(step, id, running_of[i])
      end
    elseif step.touched[id] and not step.settled[id] then
      settle_plain(step, queue, id)
    end
  end
end

local function write_queue(step, queue)
  local prefix, id = step.prefix, queue.id
  local key = prefix .. 'queue:' .. id
  local total = queue.scheduled + queue.queued + queue.pending
  if total > 0 and not queue.counted then
    redis.call('SADD', prefix .. 'queues', id)
  elseif total == 0 then
    redis.call('SREM', prefix .. 'queues', id)
    if not queue.limited and queue.paused_until == 0 then
      leave_line(step, queue_of(step, ''), id)
      redis.call('DEL', key, prefix .. 'line:' .. id, prefix .. 'idle:' .. id)
      return
    end
  end
  local fields = {
    'scheduled', int(queue.scheduled), 'queued', int(queue.queued), 'pending', int(queue.pending),
    'tick', int(queue.tick), 'door', int(queue.door), 'special', int(queue.special),
  }
  if not queue.name and step.new_names[id] then
    fields[#fields + 1] = 'name'
    fields[#fields + 1] = step.new_names[id]
  end
  if queue.dirty and #queue.windows > 0 then
    fields[#fields + 1] = 'spent'
    fields[#fields + 1] = cmsgpack.pack(queue.tats)
  end
  redis.call('HSET', key, unpack(fields))
  if queue.limited or queue.paused_until > 0 then
    settle_queue(step, queue)
  elseif queue.queued == 0 then
    leave_line(step, queue_of(step, ''), id)
  elseif not queue.served then
    enter_line(step, queue_of(step, ''), id, 0)
  end
end

local function write_counts(step)
  for id, lanes in pairs(lanes_by_queue(step)) do
    local queue = queue_of(step, id)
    write_lanes(step, queue, lanes)
    queue.dirty = true
  end
  local changed = {}
  for id, queue in pairs(step.queues) do
    if queue.dirty and id ~= '' then
      changed[#changed + 1] = queue
    end
  end
  for _, queue in ipairs(changed) do
    write_queue(step, queue)
  end
  local all = step.queues['']
  if all and all.dirty then
    redis.call('HSET', step.prefix .. 'queue:', 'tick', int(all.tick), 'door', int(all.door))
  end
end
