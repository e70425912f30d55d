-- Rooms. KEYS 1 current 2 backlogs 3 dead 4 rooms (not of fanout-ack: a room with a member does not end), and behind
--             FIRST_ROOM three for each room: state, backlog, outcomes
-- ARGV 1 "hold|pass ms redeliveries outcomeMs": what becomes of messages without members; how long the current one may stay
--      unacknowledged; redeliveries, 0: at most once; how long to remember outcomes
-- A room's number rises with every message and every turn, also over rooms that end and begin again, so that neither is
-- ever used twice. The current message stays in the state until all who were sync members at its release have
-- acknowledged it, by its turn, or are gone. A sync member's field holds the last turn of which nothing is to be expected
-- from it: so a release makes everybody owe without touching them, and `left` counts who still does.
-- Most releases are plain: to as many members as the one before, of a message of which no sender waits to hear. There the
-- fields 'due' and 'until' are not written anew; 'plain', "until-us due", and 'allowed' stand for them. The current message was
-- shown in the millisecond of its turn, for so many ms, to so many members, of whom none was ejected from it; and what
-- comes next needs no note in `current` before that time. include/advance.lua then shows it.
local rule, ack_ms, redeliveries, outcome_ms = string.match(ARGV[1], '^(%a+) (%d+) (%d+) (%d+)$')
local holds = rule == 'hold'
ack_ms, redeliveries = tonumber(ack_ms), tonumber(redeliveries)
local CURRENT, BACKLOGS, DEAD, ROOMS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
-- What all names of the shard begin with.
local TAG = string.sub(CURRENT, 1, -1 - #'current')

--@include publish

-- All fields at once: a table that grows costs more than all else together.
local function load_room(index)
  local at = FIRST_ROOM + (index - 1) * 3
  local name, state = KEYS[at], redis.call('HMGET', KEYS[at], 'number', 'turn', 'left', 'due', 'sync', 'async', 'noted', 'sender', 'ejected', 'who', 'plain', 'allowed')
  local stored, turn, plain = tonumber(state[1] or '0'), state[2] and tonumber(state[2]), state[11]
  return {
    name = string.sub(name, #TAG + #'room:' + 1), state = name, backlog = KEYS[at + 1], outcomes = KEYS[at + 2],
    -- What Redis has. `had`: a current message; `spoilt`: what only some of them leave there.
    stored = stored, born = not state[1], had = turn, spoilt = state[8] or state[9] or state[10],
    -- What it is.
    number = turn and turn > stored and turn or stored, turn = turn, left = tonumber(state[3] or '0'), due = tonumber(plain and string.sub(plain, 18) or state[4] or '0'),
    sync = tonumber(state[5] or '0'), async = tonumber(state[6] or '0'), noted = tonumber(state[7] or '0'),
    sender = state[8], ejected = tonumber(state[9] or '0'), who = state[10],
    -- What 'plain' says of it: that it is so, and how long it may stay unacknowledged.
    plain = plain, allowed_ms = tonumber(state[12] or '0'),
    -- What was done: something was added to the backlog, or taken from it; the current message ended; its deadline was
    -- noted anew; somebody was excused from it; members came or went; there is more to let pass.
    moved = false, popped = false, ended = false, renoted = false, excused = false, peopled = false, more = false,
    redelivered = false, buried = false, room = 0,
  }
end

local function next_number(room)
  room.number = math.max(room.number + 1, now_us)
  return int(room.number)
end

-- The word to the sender names the room: an id is its room's own, and messages of one batch get the same in each.
local function outcome(room, sender, id, acked, who)
  if not sender or sender == '-' then return end
  -- Where the key is something else, it is told, and not kept.
  local kept = redis.pcall('HSET', room.outcomes, id, int(acked) .. ' ' .. who)
  if type(kept) == 'number' then redis.call('PEXPIRE', room.outcomes, outcome_ms) end
  publish(TAG .. 'acked:' .. sender, id .. ' ' .. int(acked) .. ' ' .. who .. '\n' .. room.name)
end

-- The deadline of the current message is in the room's state; in `current` it may be earlier than that, by a thirty-second
-- of what it is given at most: so a busy room is not noted anew with each message. Who finds it overdue looks at the state.
local function note_deadline(room, deadline)
  if deadline >= room.noted and deadline - room.noted <= ack_ms / 32 then return end
  redis.call('ZADD', CURRENT, int(deadline), room.name)
  room.noted, room.renoted = deadline, true
end

-- Shows the next message, if there is none and somebody is there to see it. In a room that passes without sync members
-- messages go by, at most so many in one script: then the room counts as overdue, and whoever looks goes on.
local MOST = 10000
local function release(room)
  local due, passed = room.sync, 0
  if due <= 0 and holds then return end
  while passed < MOST do
    local first = redis.call('ZPOPMIN', room.backlog)
    if not first[1] then return end
    room.popped = true
    local id, sender = string.match(first[1], '^(%d+) %d+ (%S+) %d+ ')
    local turn = next_number(room)
    local text = id and 'm' .. turn .. ' ' .. first[2] .. ' ' .. first[1]
    if id then publish(room.state, text) end
    if not id then
      -- Nobody who speaks this protocol has written it: put aside, or it would stop the room for good.
      passed = passed + 1
      redis.call('XADD', DEAD, 'MAXLEN', '~', '100000', '*', 'reason', 'unreadable', 'room', room.name, 'priority', first[2], 'entry', first[1])
    elseif due <= 0 then
      passed = passed + 1
      outcome(room, sender, id, 0, '')
    else
      local deadline, count = now_ms + ack_ms, tostring(due)
      local time_out = int(deadline)
      note_deadline(room, deadline)
      redis.call('HSET', room.state, 'turn', turn, 'left', count, 'due', count, 'until', time_out, 'text', text)
      if room.renoted then redis.call('HSET', room.state, 'noted', time_out) end
      if sender ~= '-' then redis.call('HSET', room.state, 'sender', sender) end
      room.turn, room.left, room.due, room.sender, room.ejected, room.who = room.number, due, due, sender ~= '-' and sender, 0, nil
      return
    end
  end
  room.more = true
end

-- Nobody owes an acknowledgement any more. A message that nobody has acknowledged, because all who saw it went away
-- over it, goes back to its place; one that wears out its subscribers goes to the dead-letter stream.
local function complete(room)
  local acked, who, sender = room.due - room.ejected, room.who or '', room.sender or '-'
  room.turn, room.ended = nil, true
  local lost = acked <= 0 and holds and redeliveries > 0
  if not lost and sender == '-' then return end
  local text = redis.call('HGET', room.state, 'text') or ''
  local priority, id, tries, sent, payload = string.match(text, '^m%d+ (%S+) (%d+) (%d+) %S+ (%d+) (.*)$')
  if not id then
    -- As it stood there before a change of this protocol, or by another's hand.
    if lost then redis.call('XADD', DEAD, 'MAXLEN', '~', '100000', '*', 'reason', 'unreadable', 'room', room.name, 'entry', text) end
    return
  end
  if not lost then return outcome(room, sender, id, acked, who) end
  if tonumber(tries) < redeliveries then
    redis.call('ZADD', room.backlog, priority, id .. ' ' .. int(tonumber(tries) + 1) .. ' ' .. sender .. ' ' .. sent .. ' ' .. payload)
    room.moved, room.redelivered = true, id
  else
    redis.call('XADD', DEAD, 'MAXLEN', '~', '100000', '*', 'reason', 'all-ejected', 'room', room.name, 'id', id,
      'priority', priority, 'sent', sent, 'tries', int(tonumber(tries) + 1), 'who', who, 'entry', payload)
    room.buried = id
    outcome(room, sender, id, 0, who)
  end
end

-- Whether a member that is noted so owes an acknowledgement of the current message.
local function owes(turn, noted)
  return turn and noted and noted ~= 'async' and tonumber(noted) < turn
end

-- Takes a session out of what the current message waits for.
local function excuse(room, who)
  room.left, room.ejected, room.excused = room.left - 1, room.ejected + 1, true
  room.who = room.who and room.who .. ',' .. who or who
end

-- Takes a session out of the room, and out of what its current message waits for. Answers what it was noted as.
local function dismiss(room, session, who)
  local noted = redis.call('HGET', room.state, session)
  if not noted then return nil end
  redis.call('HDEL', room.state, session)
  room.peopled = true
  if noted == 'async' then
    room.async = room.async - 1
  else
    room.sync = room.sync - 1
    if owes(room.turn, noted) then excuse(room, who) end
  end
  return noted
end

-- Until when the current message may stay unacknowledged.
local function deadline_of(room)
  if room.plain then return math.floor(room.turn / 1000) + room.allowed_ms end
  return tonumber(redis.call('HGET', room.state, 'until') or '0')
end

-- Whether what comes next can be shown without a look at anything else, is written down where it has changed.
local function note_plain(room)
  local is_plain = room.turn and not room.sender and room.ejected == 0 and not room.who and room.due == room.sync
  if not room.ended and room.had then
    if not room.plain or is_plain then return end
    redis.call('HSET', room.state, 'due', int(room.due), 'until', int(deadline_of(room)))
  elseif is_plain and room.turn - now_us < 1000 then
    local until_us = int((room.noted - ack_ms + math.floor(ack_ms / 32)) * 1000)
    -- Compared as text.
    if #until_us == 16 then
      local plain = until_us .. ' ' .. int(room.due)
      if plain ~= room.plain or ack_ms ~= room.allowed_ms then redis.call('HSET', room.state, 'plain', plain, 'allowed', int(ack_ms)) end
      return
    end
  end
  if room.plain then redis.call('HDEL', room.state, 'plain', 'allowed') end
end

-- Everything that follows from a change, and then what is known about the room for others.
local function settle(room)
  if room.turn and room.left <= 0 then complete(room) end
  if not room.turn then release(room) end
  local state = room.state
  if room.ended and room.spoilt then
    redis.call('HDEL', state, 'ejected', 'who')
    if not room.sender then redis.call('HDEL', state, 'sender') end
  end
  if room.turn and room.excused and not room.ended then redis.call('HSET', state, 'left', int(room.left), 'ejected', int(room.ejected), 'who', room.who) end
  if room.had and not room.turn then
    redis.call('ZREM', CURRENT, room.name)
    redis.call('HDEL', state, 'turn', 'left', 'due', 'until', 'text', 'sender', 'noted', 'plain', 'allowed')
    room.plain = nil
  end
  note_plain(room)
  if room.more then redis.call('ZADD', CURRENT, int(now_ms), room.name) end
  if room.moved or room.popped or room.had and not room.turn then
    -- Of a busy room now and then, and always when nothing waits any more.
    local waiting = redis.call('ZCARD', room.backlog)
    if waiting == 0 then redis.call('ZREM', BACKLOGS, room.name)
    elseif room.moved or room.renoted then redis.call('ZADD', BACKLOGS, int(waiting), room.name) end
  end
  if room.sync == 0 and room.async == 0 and not room.turn and redis.call('ZCARD', room.backlog) == 0 then
    redis.call('DEL', state)
    redis.call('ZREM', ROOMS, room.name)
    return
  end
  if room.peopled then redis.call('HSET', state, 'sync', int(room.sync), 'async', int(room.async)) end
  if room.born or room.number > math.max(room.stored, room.turn or 0) then redis.call('HSET', state, 'number', int(room.number)) end
  if room.born then
    local newest = redis.call('ZRANGE', ROOMS, '0', '0', 'REV', 'WITHSCORES')
    redis.call('ZADD', ROOMS, int(math.max(tonumber(newest[2] or '0') + 1, now_us)), room.name)
    redis.pcall('PUBLISH', TAG .. 'bell', 'room')
  end
end
