-- Rooms. KEYS 1 sessions 2 current 3 backlogs 4 rooms 5 dead 6 the script's own
--             then six for each room: state, backlog, sync, async, owing, outcomes
-- ARGV 1 hold | pass  2 ms the current message may stay unacknowledged  3 redeliveries, 0: at most once
--      4 ms to remember outcomes  5 beginning of the senders' channels  6 bell
-- A room's number rises with every message and every turn, also over rooms that end and begin again, so that ids are
-- never used twice. The current message stays in the state until all who were sync members at its release have
-- acknowledged it, by its id, or are gone.
local holds, ack_ms, redeliveries = ARGV[1] == 'hold', tonumber(ARGV[2]), tonumber(ARGV[3])

local function publish(channel, text)
  local reply = redis.pcall('SPUBLISH', channel, text)
  if type(reply) == 'table' and reply.err then redis.pcall('PUBLISH', channel, text) end
end

local function room_at(index, name)
  local at = 6 + (index - 1) * 6
  return {
    name = name, state = KEYS[at + 1], backlog = KEYS[at + 2], sync = KEYS[at + 3], async = KEYS[at + 4], owing = KEYS[at + 5],
    outcomes = KEYS[at + 6],
  }
end

local function load_room(index, name)
  local room = room_at(index, name)
  local state = redis.call('HMGET', room.state, 'number', 'id')
  room.number = tonumber(state[1] or '0')
  room.stored, room.born, room.id, room.had = room.number, not state[1], state[2] or nil, state[2]
  return room
end

local function next_number(room)
  room.number = math.max(room.number + 1, now_us)
  return int(room.number)
end

-- The word to the sender names the room: an id is its room's own, and messages of one batch get the same in each.
local function outcome(room, sender, id, acked, who)
  if sender == '-' then return end
  redis.call('HSET', room.outcomes, id, int(acked) .. ' ' .. who)
  redis.call('PEXPIRE', room.outcomes, ARGV[4])
  publish(ARGV[5] .. sender, id .. ' ' .. int(acked) .. ' ' .. who .. '\n' .. room.name)
end

-- Shows the next message, if there is none and somebody is there to see it. In a room that passes without sync members
-- messages go by, at most so many in one script: then the room counts as overdue, and whoever looks goes on.
local MOST = 10000
local function release(room)
  local waiting, passed = redis.call('ZCARD', room.backlog), 0
  while waiting > 0 and passed < MOST do
    local due = redis.call('SUNIONSTORE', room.owing, room.sync)
    if due == 0 and holds then break end
    local first = redis.call('ZPOPMIN', room.backlog)
    waiting, room.moved = waiting - 1, true
    local id, tries, sender, rest = string.match(first[1], '^(%d+) (%d+) (%S+) (%d+ .*)$')
    local turn = next_number(room)
    if id then publish(room.state, 'm' .. id .. ' ' .. turn .. ' ' .. first[2] .. ' ' .. tries .. ' ' .. rest) end
    if not id then
      -- Nobody who speaks this protocol has written it: put aside, or it would stop the room for good.
      passed = passed + 1
      redis.call('XADD', KEYS[5], 'MAXLEN', '~', '100000', '*', 'reason', 'unreadable', 'room', room.name, 'priority', first[2], 'entry', first[1])
      redis.call('DEL', room.owing)
    elseif due == 0 then
      passed = passed + 1
      outcome(room, sender, id, 0, '')
    else
      redis.call('HSET', room.state, 'number', turn, 'id', id, 'turn', turn, 'priority', first[2], 'text', first[1], 'due', due)
      redis.call('ZADD', KEYS[2], int(now_ms + ack_ms), room.name)
      room.id, room.stale, room.stored, room.waiting = id, false, room.number, waiting
      return
    end
  end
  room.waiting = waiting
  if passed == MOST then room.more = true end
end

-- The current message, as it was published.
local function shown(room)
  local state = redis.call('HMGET', room.state, 'turn', 'priority', 'text')
  local id, tries, _, rest = string.match(state[3], '^(%d+) (%d+) (%S+) (.*)$')
  return 'm' .. id .. ' ' .. state[1] .. ' ' .. state[2] .. ' ' .. tries .. ' ' .. rest
end

-- Nobody owes an acknowledgement any more. A message that nobody has acknowledged, because all who saw it went away
-- over it, goes back to its place; one that wears out its subscribers goes to the dead-letter stream.
local function complete(room)
  local state = redis.call('HMGET', room.state, 'text', 'due', 'ejected', 'who', 'number')
  local id, text, acked, who = room.id, state[1], tonumber(state[2]) - tonumber(state[3] or '0'), state[4] or ''
  if not room.number then room.number, room.stored = tonumber(state[5]), tonumber(state[5]) end
  if state[3] or state[4] then redis.call('HDEL', room.state, 'ejected', 'who') end
  room.id, room.stale = nil, true
  if acked > 0 or not holds or redeliveries == 0 then return outcome(room, string.match(text, '^%d+ %d+ (%S+)'), id, acked, who) end
  local tries, sender, sent, payload = string.match(text, '^%d+ (%d+) (%S+) (%d+) (.*)$')
  local priority = redis.call('HGET', room.state, 'priority')
  if tonumber(tries) < redeliveries then
    redis.call('ZADD', room.backlog, priority, id .. ' ' .. int(tonumber(tries) + 1) .. ' ' .. sender .. ' ' .. sent .. ' ' .. payload)
    room.moved, room.redelivered = true, id
  else
    redis.call('XADD', KEYS[5], 'MAXLEN', '~', '100000', '*', 'reason', 'all-ejected', 'room', room.name, 'id', id,
      'priority', priority, 'sent', sent, 'tries', int(tonumber(tries) + 1), 'who', who, 'entry', payload)
    room.buried = id
    outcome(room, sender, id, 0, who)
  end
end

-- Notes who has not acknowledged the current message, with the others.
local function note(room_state, who)
  local before = redis.call('HGET', room_state, 'who')
  redis.call('HSET', room_state, 'who', before and before .. ',' .. who or who)
end

-- Takes a session out of what the current message waits for. Answers whether it was in it.
local function excuse(room, session, who)
  if redis.call('SREM', room.owing, session) == 0 then return false end
  redis.call('HINCRBY', room.state, 'ejected', '1')
  note(room.state, who)
  return true
end

-- Everything that follows from a change, and then what is known about the room for others.
local function settle(room)
  if room.id and redis.call('EXISTS', room.owing) == 0 then complete(room) end
  if not room.id then release(room) end
  if room.had and not room.id then redis.call('ZREM', KEYS[2], room.name) end
  if room.stale then redis.call('HDEL', room.state, 'id', 'turn', 'priority', 'text', 'due') end
  if room.more then redis.call('ZADD', KEYS[2], int(now_ms), room.name) end
  if room.moved then
    local waiting = room.waiting or redis.call('ZCARD', room.backlog)
    if waiting > 0 then redis.call('ZADD', KEYS[3], int(waiting), room.name) else redis.call('ZREM', KEYS[3], room.name) end
  end
  if not room.id and redis.call('EXISTS', room.sync, room.async, room.backlog) == 0 then
    redis.call('DEL', room.state)
    redis.call('ZREM', KEYS[4], room.name)
    return
  end
  if room.number ~= room.stored or room.born then redis.call('HSET', room.state, 'number', int(room.number)) end
  if room.born then
    local newest = redis.call('ZRANGE', KEYS[4], '0', '0', 'REV', 'WITHSCORES')
    redis.call('ZADD', KEYS[4], int(math.max(tonumber(newest[2] or '0') + 1, now_us)), room.name)
    redis.pcall('PUBLISH', ARGV[6], 'room')
  end
end
