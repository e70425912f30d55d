#!lua flags=no-writes
-- The current messages of rooms, for a session that owes an acknowledgement and may have missed them.
-- KEYS  1-5, and rooms: see include/room.lua  6 the session's rooms
-- ARGV  1-6: see include/room.lua  7 session, then the rooms' names
-- Reply per room the message as it was published | '': nothing is owed | '-': the session is no member
--@include clock
--@include room
local session, replies = ARGV[7], {}
for i = 1, #ARGV - 7 do
  local room = load_room(i, ARGV[7 + i])
  replies[i] = ''
  if redis.call('SISMEMBER', room.owing, session) == 1 then
    replies[i] = shown(room)
  elseif redis.call('SISMEMBER', room.sync, session) == 0 and redis.call('SISMEMBER', room.async, session) == 0 then
    replies[i] = '-'
  end
end
return replies
