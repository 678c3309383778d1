--[[
News: what a step has to tell, one message a call: msgpack of {origin, available, due_at (0: none), {uuid that became final, ...},
{{session, uuid, attempt, reason or false, whether a stop was written}, ...}, {name of a group that is complete, ...}, whether
there is something for the keepers at once, todo_at (0: none)}. The caller gets the same with its reply, and passes
over the message that carries its own origin.
]]

local function publish(step)
  if step.origin == '' then
    return false
  end
  if not step.available and step.due_at == 0 and #step.finished == 0 and #step.cancels == 0 and not step.todo
    and step.todo_at == 0 and #step.completed == 0 then
    return false
  end
  local news = cmsgpack.pack({
    step.origin, step.available, step.due_at, step.finished, step.cancels, step.completed, step.todo, step.todo_at,
  })
  redis.call('PUBLISH', step.prefix .. 'signals', news)
  return news
end
