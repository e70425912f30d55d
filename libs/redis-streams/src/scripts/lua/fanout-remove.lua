#!lua flags=allow-oom
-- Ends a room on purpose: members are told, what waits is dropped, and senders that wait hear that nobody acknowledged.
-- KEYS  1 sessions  2 current  3 backlogs  4 rooms  5 dead  6 unused
--       7... for each room: state, backlog, sync, async, owing, outcomes
-- ARGV  1 hold | pass  2 ms until the current message is overdue  3 redeliveries  4 ms to remember outcomes  5 beginning of the senders' channels
--       6 bell  7 the room's name
-- Reply how many messages were dropped
--@include clock
--@include room
local room = load_room(1, ARGV[7])
local dropped = redis.call('ZRANGE', room.backlog, '0', '-1')
if room.id then dropped[#dropped + 1] = redis.call('HGET', room.state, 'text') end
for _, text in ipairs(dropped) do
  local id, _, sender = string.match(text, '^(%d+) (%d+) (%S+) ')
  if id then outcome(room, sender, id, 0, '') end
end
publish(room.state, 'x')
redis.call('DEL', room.state, room.backlog, room.sync, room.async, room.owing)
for key = 2, 4 do redis.call('ZREM', KEYS[key], room.name) end
return #dropped
