#!lua flags=allow-oom
-- One session's acknowledgements, each by the turn in which it was shown. Of anything but the current message they change
-- nothing, nor do they twice.
-- KEYS  1 current  2 backlogs  3 dead  4... for each room: state, backlog, outcomes
-- ARGV  1 rules of the rooms, see include/room.lua  2 session  3... for each room the turn; then two for each with ejected local
--       subscribers: its place (1, 2, ...), their names
-- Reply per room 1: taken | 0: not owed | -1: the session is no member of it
local session, count, replies, finished = ARGV[2], (#KEYS - 3) / 3, {}, nil
for i = 1, count do
  local state, turn = KEYS[1 + i * 3], ARGV[2 + i]
  local found = redis.call('HMGET', state, 'turn', 'left', session)
--@include take
  replies[i] = taken
  if taken == 2 then
    replies[i] = 1
    finished = finished or {}
    finished[#finished + 1] = i
  end
end
-- All but the last to acknowledge end here, unless they have to say who was ejected.
local have_ejected = #ARGV > 2 + count
if not finished and not have_ejected then return replies end
--@include advance
local rest, seen = {}, {}
for _, i in ipairs(finished or {}) do
  local state = KEYS[1 + i * 3]
  -- Said twice in one call, it was completed by the first.
  if seen[state] then
    replies[i] = 0
  else
    seen[state] = true
    if have_ejected or not advance(state, KEYS[2 + i * 3], ARGV[2 + i]) then rest[#rest + 1] = i end
  end
end
if #rest == 0 and not have_ejected then return replies end
local FIRST_ROOM = 4
--@include clock
--@include room
for a = 3 + count, #ARGV, 2 do
  local i = tonumber(ARGV[a])
  if replies[i] == 1 then
    local room = load_room(i)
    room.who = room.who and room.who .. ',' .. ARGV[a + 1] or ARGV[a + 1]
    redis.call('HSET', room.state, 'who', room.who)
    note_plain(room)
  end
end
for _, i in ipairs(rest) do
  local room = load_room(i)
  room.left = 0
  settle(room)
end
return replies
