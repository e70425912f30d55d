#!lua flags=allow-oom
-- One session's acknowledgements. Of anything but the current message they change nothing, nor do they twice.
-- KEYS  1 sessions  2 current  3 backlogs  4 rooms  5 dead  6 the session's rooms
--       7... for each room: state, backlog, sync, async, owing, outcomes
-- ARGV  1 hold | pass  2 ms until the current message is overdue  3 redeliveries  4 ms to remember outcomes  5 beginning of the senders' channels
--       6 bell  7 session  8... three for each room: name, message id, ejected local subscribers or ''
-- Reply per room 1: taken | 0: not owed | -1: the session is no member of it
--@include clock
--@include room
local session, replies = ARGV[7], {}
for i = 1, (#ARGV - 7) / 3 do
  local a = 5 + i * 3
  local room = load_room(i, ARGV[a])
  if room.id and room.id == ARGV[a + 1] and redis.call('SREM', room.owing, session) == 1 then
    if ARGV[a + 2] ~= '' then
      local before = redis.call('HGET', room.state, 'who')
      redis.call('HSET', room.state, 'who', before == '' and ARGV[a + 2] or before .. ',' .. ARGV[a + 2])
    end
    settle(room)
    replies[i] = 1
  elseif redis.call('SISMEMBER', room.sync, session) == 1 or redis.call('SISMEMBER', room.async, session) == 1 then
    replies[i] = 0
  else
    replies[i] = -1
  end
end
return replies
