--[[
The keys of one instance. `P` is the prefix `{htq:<namespace>}:`: the braces are a hash tag, so that all of them lie in one
slot of a cluster. Names that users give never stand in a key: queues, lanes, names, groups and schedules are digests made by the client.

key                            type    meaning
P meta                         hash    schema: the number of this layout; revisions: of schedules, the last one given
P task:<uuid>                  hash    what changes in a task's life; its fields are listed in task.lua
P spec:<uuid>                  string  what a patch alone changes: msgpack of htq.stores.redis.records.Spec
P response:<uuid>              string  msgpack of htq.words.task.Response
P attempts:<uuid>              list    one element for each attempt that has ended, in their order: see attempts.lua
P stop:<uuid>                  hash    attempt -> "<state> <holder or settler, or -> <lapses_at>", and once it is settled
                                       " <code, or -> <tries> <elapsed ms, or ->"
P body:<attempt>:<side>:<uuid> hash    number -> chunk of a body that lies beside; attempt 0 is the request's
P names                        hash    digest of (tenant, name) -> uuid of the latest task with that name, until nothing need wait for it
P by:<status>                  zset    uuid, score 0: every task, in the order of uuids, under the word that lists show it by
P due                          zset    uuid by due_at, ms: the scheduled tasks, but for those that wait until another has ended
P expire                       zset    uuid by the next of start_by and deadline that matters, ms
P keep                         zset    uuid by keep_until, ms: the final tasks that `forget` may remove by then

P queues                       set     ids of the queues with live tasks
P queue:<queue>                hash    name; scheduled, queued, pending: counts; tick, door: see turns.lua; limits, special, paused_until,
                                       spent: see limits.lua. <queue> is 16 hex digits
P lane:<lane>                  zset    uuid by ord: the queued tasks of a lane. <lane> is 32 hex digits, the first 16 its queue's
P lanes:<queue>                hash    lane -> "<live> <running> <key>": those with live tasks or a record
P line:<queue>                 zset    lane by turn, us: the lanes with queued tasks that are not full
P full:<queue>                 zset    lane by its old turn: those that are
P idle:<queue>                 zset    lane by turn, us: lanes without, as long as their old turn means anything
P line:  P idle:  P queue:     -       the same for the queues among each other
P record:<lane>                hash    what else is to be known of a lane: see limits.lua
P records:<queue>              set     the lanes with a record
P faded                        zset    lane by ms: when the record of one without live tasks means nothing any more
P settings                     hash    queue's name -> msgpack of QueueSettings, not paused; these outlive the queue's tasks
P paused                       hash    queue's name -> paused_until, ms

P once                         hash    digest of (tenant, idempotency key) -> "<until, ms> <uuid> <fingerprint>"
P once:until                   zset    the same digests by their ms
P group:<group>                hash    see groups.lua
P groups:over                  zset    group, score 0: those that are closed, without tasks and owe nothing
P owed                         zset    by ms, oldest first: the callbacks that are owed, "t:<attempt>:<version>:<uuid>" or "g:<group>"
P schedule:<schedule>          hash    see schedules.lua
P schedules:<tenant>           set     a tenant's schedules
P slots                        zset    schedule by next_at, ms: those that are not paused

P sessions                     zset    session by the end of its lease, ms
P session:<session>            hash    info: msgpack of SessionInfo; closing: it said goodbye; claim_seq, claims, stop_seq, stops:
                                       the last batch that it got, msgpack of {uuid, attempt, uuid, attempt, ...}
P held:<session>               zset    uuid, score 0: its pending tasks
P canceling:<session>          zset    uuid, score 0: those of them whose cancel was requested
P stops                        zset    <attempt>:<uuid> by lapses_at, ms: the stops that nobody holds
P stops:<session>              zset    the same, those that a session holds
P lapse                        zset    the same, all that are unsettled
P signals                      -       the channel on which news goes out: see news.lua

A call is  FCALL htq_<version>_<verb> 1 P <now, ms; or "": the server's TIME> <origin; or "": no signals> <header> <blob>...
with a msgpack header and binary blobs beside it (the msgpack of Lua knows no binary), a reply is  {header, news or false, blob...}.
Scores and fields are whole numbers up to 2^53, written by `int`: `tostring` gives 1e+15. What may be a fraction is in msgpack.
]]

local LIVE = { scheduled = true, queued = true, pending = true }

-- A call formats few different numbers, and most of them many times. Emptied by `begin`.
local texts = {}

local function int(number)
  local text = texts[number]
  if not text then
    text = string.format('%.0f', number)
    texts[number] = text
  end
  return text
end

-- Calls with many arguments go in parts: `unpack` is bounded by Lua's stack.
local PART = 1000

local function many(command, key, arguments)
  local count = #arguments
  if count == 0 then
    return
  end
  for first = 1, count, PART do
    redis.call(command, key, unpack(arguments, first, math.min(first + PART - 1, count)))
  end
end

-- The same for commands that answer with a list.
local function many_of(command, key, arguments)
  local count = #arguments
  if count <= PART then
    return redis.call(command, key, unpack(arguments))
  end
  local found = {}
  for first = 1, count, PART do
    for _, value in ipairs(redis.call(command, key, unpack(arguments, first, math.min(first + PART - 1, count)))) do
      found[#found + 1] = value
    end
  end
  return found
end

local function unlink(keys)
  for first = 1, #keys, PART do
    redis.call('UNLINK', unpack(keys, first, math.min(first + PART - 1, #keys)))
  end
end

local function queue_id(lane)
  return lane:sub(1, 16)
end

-- A verb, by the name under which a server knows it. `allow-oom`: what drains a store must work when it is full.
local function verb(name, callback, ...)
  redis.register_function({ function_name = NAME .. '_' .. name, callback = callback, flags = { ... } })
end
