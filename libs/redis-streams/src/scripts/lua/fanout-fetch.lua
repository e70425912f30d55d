#!lua flags=no-writes
-- The current messages of rooms, for a session that owes an acknowledgement and may have missed them.
-- KEYS  1 sessions  2 current  3 backlogs  4 rooms  5 dead  6 the session's rooms
--       7... for each room: state, backlog, sync, async, owing, outcomes
-- ARGV  1 hold | pass  2 ms until the current message is overdue  3 redeliveries  4 ms to remember outcomes  5 beginning of the senders' channels
--       6 bell  7 session  8... the rooms' names
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
