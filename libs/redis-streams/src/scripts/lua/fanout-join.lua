#!lua
-- Makes a session a member of rooms, or changes between sync and async. Its first message is the next one released.
-- KEYS  1 current  2 backlogs  3 dead  4 rooms  5 sessions  6 the session's rooms  7... for each room: state, backlog, outcomes
-- ARGV  1 rules of the rooms, see include/room.lua  2 session  3... for each room sync | async
-- Reply {'OK', per room the number after which its messages begin, or the message that it owes already, as it was
--       published: the answer to an earlier try was lost. Or it is no member: "NOPERM", this user may not publish there;
--       "foreign <key>", that is something else}
--       | {'LOST'}: the session is dead
local FIRST_ROOM = 7
--@include clock
--@include room
--@include speech
--@include sound
local session = ARGV[2]
local deadline = redis.call('ZSCORE', KEYS[5], session)
if not deadline or tonumber(deadline) <= now_ms then return { 'LOST' } end
local function admit(i)
  local key = foreign(i)
  if key then return 'foreign ' .. key end
  local room = load_room(i)
  if not may_publish(room.state) then return 'NOPERM' end
  local noted, answer = redis.call('HGET', room.state, session), int(room.number)
  if ARGV[i + 2] == 'sync' then
    if noted and noted ~= 'async' then
      if owes(room.turn, noted) then answer = redis.call('HGET', room.state, 'text') end
    else
      if noted then dismiss(room, session, session) end
      -- Of what is current nothing is expected from it.
      redis.call('HSET', room.state, session, int(room.number))
      room.sync, room.peopled = room.sync + 1, true
    end
  elseif noted ~= 'async' then
    if noted then dismiss(room, session, session) end
    redis.call('HSET', room.state, session, 'async')
    room.async, room.peopled = room.async + 1, true
  end
  redis.call('SADD', KEYS[6], room.name)
  settle(room)
  return answer
end

local reply = { 'OK' }
for i = 1, #ARGV - 2 do reply[i + 1] = admit(i) end
return reply
