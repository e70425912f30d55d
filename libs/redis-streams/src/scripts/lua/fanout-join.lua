#!lua
-- Makes a session a member of rooms, or changes between sync and async. Its first message is the next one released.
-- KEYS  1 sessions  2 current  3 backlogs  4 rooms  5 dead  6 the session's rooms
--       7... for each room: state, backlog, sync, async, owing, outcomes
-- ARGV  1 hold | pass  2 ms until the current message is overdue  3 redeliveries  4 ms to remember outcomes  5 beginning of the senders' channels
--       6 bell  7 session  8... two for each room: name, sync | async
-- Reply {'OK', per room the number after which its messages begin, or the message that it owes already, as it was
--       published: the answer to an earlier try was lost} | {'LOST'}: the session is dead
--@include clock
--@include room
local session = ARGV[7]
local deadline = redis.call('ZSCORE', KEYS[1], session)
if not deadline or tonumber(deadline) <= now_ms then return { 'LOST' } end
local reply = { 'OK' }
for i = 1, (#ARGV - 7) / 2 do
  local a = 6 + i * 2
  local room = load_room(i, ARGV[a])
  reply[i + 1] = int(room.number)
  if ARGV[a + 1] == 'sync' then
    redis.call('SREM', room.async, session)
    redis.call('SADD', room.sync, session)
    if redis.call('SISMEMBER', room.owing, session) == 1 then reply[i + 1] = shown(room) end
  else
    redis.call('SADD', room.async, session)
    if redis.call('SREM', room.sync, session) == 1 then excuse(room, session, session) end
  end
  redis.call('SADD', KEYS[6], room.name)
  settle(room)
end
return reply
