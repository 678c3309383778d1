--[[
Windows: the generic cell rate algorithm, as htq.policy.limits reckons it and explains it; the numbers are the same doubles. A window is
an htq.words.limits.Rate with all its fields and `inc`, in microseconds. A list of windows has its `tats` beside it, in the same order.
`now` is the millisecond that is now, in microseconds: `step.moment`.
]]

local TICK, ROUNDING = 900, 50
local HOUR = 3600000000

-- From a list of rates; fields with their usual value are absent there.
local function windows_of(rates)
  local windows = {}
  for i, rate in ipairs(rates or {}) do
    local window = { limit = rate.limit, per = rate.per or 1, burst = rate.burst or 1, unit = rate.unit }
    window.inc = window.per * 1000000 / window.limit
    local tau = window.burst * window.inc
    window.memory = math.max(tau, window.per * 1000000)
    window.most = window.unit and math.max(tau, HOUR) or tau
    windows[i] = window
    windows.by_cost = windows.by_cost or window.unit ~= nil
  end
  return windows
end

-- The tats that were kept, as these windows read them.
local function fitted(windows, spent, now)
  local tats = {}
  for i, window in ipairs(windows) do
    local tat = spent and spent[i]
    tats[i] = tat and tat <= now + window.most + ROUNDING and tat or 0
  end
  return tats
end

local function size_of(window, cost)
  if not window.unit then
    return 1
  end
  return math.min(cost[window.unit] or 0, window.burst)
end

-- How many tasks that cost nothing may start now.
local function room_in(windows, tats, now)
  local least = math.huge
  for i, window in ipairs(windows) do
    if not window.unit then
      local inc = window.inc
      local left = window.burst * inc - math.max(tats[i] - now, -TICK)
      local fits = math.floor((left + math.min(ROUNDING, inc / 2)) / inc)
      least = math.min(least, math.max(fits, 0))
    end
  end
  return least
end

-- When a task of this cost may start, in microseconds; not after now: it may.
local function opens_at(windows, tats, cost)
  local at = 0
  for i, window in ipairs(windows) do
    local size = size_of(window, cost)
    if size ~= 0 then
      local inc = window.inc
      at = math.max(at, tats[i] + (size - window.burst) * inc - math.min(ROUNDING, inc / 2))
    end
  end
  return at
end

local function charge(windows, tats, now, cost)
  for i, window in ipairs(windows) do
    local size = size_of(window, cost)
    if size ~= 0 then
      tats[i] = math.max(tats[i], now - TICK) + size * window.inc
    end
  end
end

-- A task that was charged for one cost at `charged_at` had another one, of the units in `actual`.
local function correct(windows, tats, now, charged_at, charged, actual)
  for i, window in ipairs(windows) do
    local real = window.unit and actual[window.unit]
    if real then
      local more = (math.max(real, 0) - size_of(window, charged)) * window.inc
      if more > 0 then
        tats[i] = math.min(math.max(tats[i], now) + more, now + window.most)
      elseif more < 0 and now - charged_at < window.memory then
        tats[i] = tats[i] + more
      end
    end
  end
end

-- The last of the tats, if it lies ahead; else nil: nothing of them is worth keeping.
local function last_of(tats, now)
  local last = 0
  for _, tat in ipairs(tats) do
    last = math.max(last, tat)
  end
  return last > now - TICK and last or nil
end
