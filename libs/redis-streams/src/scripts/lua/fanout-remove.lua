#!lua flags=allow-oom
-- Ends a room on purpose: members are told, what waits is dropped, and senders that wait hear that nobody acknowledged.
-- Is given the rules of the rooms, as include/room.lua wants them.
-- KEYS  1 current  2 backlogs  3 dead  4 rooms  5 state  6 backlog  7 outcomes
-- Reply how many messages were dropped | "foreign <key>": it is something else, and the room stays as it is
local FIRST_ROOM = 5
--@include clock
--@include room
--@include sound
local key = foreign(1)
if key then return 'foreign ' .. key end
local room = load_room(1)
local dropped = redis.call('ZRANGE', room.backlog, '0', '-1')
for _, text in ipairs(dropped) do
  local id, _, sender = string.match(text, '^(%d+) (%d+) (%S+) ')
  if id then outcome(room, sender, id, 0, '') end
end
if room.turn then
  outcome(room, room.sender, string.match(redis.call('HGET', room.state, 'text') or '', '^m%d+ %S+ (%d+)') or '0', 0, '')
end
publish(room.state, 'x')
redis.call('DEL', room.state, room.backlog)
for _, key in ipairs({ CURRENT, BACKLOGS, ROOMS }) do redis.call('ZREM', key, room.name) end
return #dropped + (room.turn and 1 or 0)
