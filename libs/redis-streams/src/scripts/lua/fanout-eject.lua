#!lua flags=allow-oom
-- Takes a session out of rooms: it leaves, or is dead; or only out of what one message of a room waits for. Or, with no
-- session, takes out whoever has not acknowledged in time.
-- KEYS  1 current  2 backlogs  3 dead  4 rooms  5 sessions  6 the session's rooms  7... for each room: state, backlog, outcomes
-- ARGV  1 rules of the rooms, see include/room.lua  2 session or ''  3 left | dead | timeout
--       4... for each room that it leaves: nothing, or the turn of the message with which it is not waited for any more
-- Reply {'OK', per room what became of its current message: "" | "redelivered <id>" | "buried <id>", before it the
--       sessions ejected for the timeout; or "foreign <key>": it is something else, and the room stays as it is; or
--       "no member": there is nothing it could stay in} | {'LIVE'}: the session is not dead
local FIRST_ROOM = 7
--@include clock
--@include room
--@include sound
local session, reason = ARGV[2], ARGV[3]
if reason == 'dead' then
  local deadline = redis.call('ZSCORE', KEYS[5], session)
  if deadline and tonumber(deadline) > now_ms then return { 'LIVE' } end
end

-- Ejects the late of a room whose deadline has passed; it may stand in `current` under an earlier one.
local function expire(room, out)
  if not room.turn then return redis.call('ZREM', CURRENT, room.name) end
  local noted = redis.call('ZSCORE', CURRENT, room.name)
  if not noted or tonumber(noted) > now_ms then return end
  local deadline = deadline_of(room)
  if deadline > now_ms then
    redis.call('ZADD', CURRENT, int(deadline), room.name)
    redis.call('HSET', room.state, 'noted', int(deadline))
    room.noted = deadline
    return
  end
  local fields, id = redis.call('HGETALL', room.state), string.match(redis.call('HGET', room.state, 'text') or '', '^m%d+ %S+ (%d+)')
  for i = 1, #fields, 2 do
    local member = fields[i]
    if string.find(member, ':', 1, true) and owes(room.turn, fields[i + 1]) then
      dismiss(room, member, member)
      publish(room.state, 'e' .. member .. ' ' .. (id or '0'))
      out[#out + 1] = member
    end
  end
end

-- Of another message than that of the turn it changes nothing: it may be said again, and late.
local function forgo(room, turn, out)
  local noted = redis.call('HGET', room.state, session)
  if not noted then
    out[1] = 'no member'
  elseif room.turn == tonumber(turn) and owes(room.turn, noted) then
    redis.call('HSET', room.state, session, turn)
    excuse(room, session)
  end
end

local function step(i, out)
  local name, key = string.sub(KEYS[4 + i * 3], #TAG + #'room:' + 1), foreign(i)
  if key then
    -- Looked at again when its time is over again; and whoever is still noted in it is late then.
    if reason == 'timeout' then redis.call('ZADD', CURRENT, int(now_ms + ack_ms), name)
    elseif (ARGV[3 + i] or '') == '' then redis.call('SREM', KEYS[6], name) end
    out[1] = 'foreign ' .. key
    return
  end
  local room = load_room(i)
  local forgone = ARGV[3 + i]
  if reason == 'timeout' then
    expire(room, out)
  elseif forgone and forgone ~= '' then
    forgo(room, forgone, out)
  else
    redis.call('SREM', KEYS[6], room.name)
    dismiss(room, session, session)
  end
  settle(room)
  if room.redelivered then out[#out + 1] = 'redelivered ' .. room.redelivered end
  if room.buried then out[#out + 1] = 'buried ' .. room.buried end
end

local reply = { 'OK' }
for i = 1, (#KEYS - 6) / 3 do
  reply[i + 1] = {}
  step(i, reply[i + 1])
end
return reply
