--[[
News: what a step has to tell, one message a call: msgpack of {origin, available, due_at (0: none), {uuid that became final, ...},
{{session, uuid, attempt, reason or false, whether a stop was written}, ...}}. The caller gets the same with its reply, and passes
over the message that carries its own origin.
]]

local function publish(step)
  if step.origin == '' then
    return false
  end
  if not step.available and step.due_at == 0 and #step.finished == 0 and #step.cancels == 0 then
    return false
  end
  local news = cmsgpack.pack({ step.origin, step.available, step.due_at, step.finished, step.cancels })
  redis.call('PUBLISH', step.prefix .. 'signals', news)
  return news
end
