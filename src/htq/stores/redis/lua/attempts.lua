--[[
The attempts that have ended. Element n of the list is attempt n + 1, since each ends before the next begins:
one letter (a: applied, c: canceled, d: its worker died), the session, a line feed, msgpack of AttemptRecord.
]]

local ANSWERS = { a = 'applied', c = 'canceled' }

local function record_end(step, task, answer, record)
  redis.call('RPUSH', step.prefix .. 'attempts:' .. task.uuid, answer .. task.session .. '\n' .. record)
end

local function record_death(step, task)
  record_end(step, task, 'd', cmsgpack.pack({
    attempt = task.attempt, session = task.session, claimed_at = task.claimed_at, phase = 'unknown',
  }))
end

-- What a session was told about the end of an attempt: for a finish that is repeated because its answer was lost.
local function answer_before(step, uuid, attempt, session)
  local ended = redis.call('LINDEX', step.prefix .. 'attempts:' .. uuid, int(attempt - 1))
  if ended and ended:sub(2, #session + 2) == session .. '\n' then
    return ANSWERS[ended:sub(1, 1)] or 'lost'
  end
  return 'lost'
end
