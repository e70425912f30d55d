#!lua flags=allow-oom
-- One session's acknowledgements. Of anything but the current message they change nothing, nor do they twice.
-- KEYS  1 sessions  2 current  3 backlogs  4 rooms  5 dead  6 the session's rooms
--       7... for each room: state, backlog, sync, async, owing, outcomes
-- ARGV  1 hold | pass  2 ms until the current message is overdue  3 redeliveries  4 ms to remember outcomes  5 beginning of the senders' channels
--       6 bell  7 session  8... three for each room: name, message id, ejected local subscribers or ''
-- Reply per room 1: taken | 0: not owed | -1: the session is no member of it
local session, replies, finished = ARGV[7], {}, nil
for i = 1, (#ARGV - 7) / 3 do
  local a, at = 5 + i * 3, i * 6
  local state, owing = KEYS[at + 1], KEYS[at + 5]
  if redis.call('HGET', state, 'id') == ARGV[a + 1] and redis.call('SREM', owing, session) == 1 then
    replies[i] = 1
    if ARGV[a + 2] ~= '' then
      local before = redis.call('HGET', state, 'who')
      redis.call('HSET', state, 'who', before and before .. ',' .. ARGV[a + 2] or ARGV[a + 2])
    end
    if redis.call('EXISTS', owing) == 0 then
      finished = finished or {}
      finished[#finished + 1] = i
    end
  elseif redis.call('SISMEMBER', KEYS[at + 3], session) == 1 or redis.call('SISMEMBER', KEYS[at + 4], session) == 1 then
    replies[i] = 0
  else
    replies[i] = -1
  end
end
-- All but the last to acknowledge end here.
if not finished then return replies end
--@include clock
--@include room
for _, i in ipairs(finished) do
  local room = room_at(i, ARGV[5 + i * 3])
  room.id, room.had = ARGV[6 + i * 3], true
  complete(room)
  settle(room)
end
return replies
