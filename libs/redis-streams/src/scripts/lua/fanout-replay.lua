#!lua
-- Puts dead letters back into the backlogs of their rooms, each under a new id, shows what can be shown, and removes the
-- letters in the same step: none is ever in both places, nor in none. Sending a batch again (same number) adds nothing twice
-- and answers what it answered then.
-- KEYS  1 current  2 backlogs  3 dead  4 rooms  5 what this replay was answered last  6... for each room: state, backlog, outcomes
-- ARGV  1 rules of the rooms, see include/room.lua  2 batch  3 ms to keep the answers  4 messages a room may hold  5... ids of dead letters
-- Reply per letter OK | gone | full | unreadable | unusable: a key of its room is something else
local FIRST_ROOM = 6
--@include clock
--@include room
--@include letter
--@include sound
local known = answered(KEYS[5], ARGV[2])
if known then return known end
local max, count = tonumber(ARGV[4]), (#KEYS - 5) / 3
-- Of a room that stands still its name alone.
local rooms, closed, answers = {}, {}, {}
for i = 1, count do
  if foreign(i) then
    closed[string.sub(KEYS[FIRST_ROOM + (i - 1) * 3], #TAG + #'room:' + 1)] = true
  else
    local room = load_room(i)
    room.room = max - redis.call('ZCARD', room.backlog)
    rooms[i], rooms[room.name] = room, room
  end
end
for i = 5, #ARGV do
  local letter = letter_at(DEAD, ARGV[i])
  local room = letter and rooms[letter['room'] or '']
  local answer = 'OK'
  if not letter then
    answer = 'gone'
  elseif closed[letter['room'] or ''] then
    answer = 'unusable'
  elseif not room or not letter['id'] or not letter['entry'] or not tonumber(letter['priority']) then
    answer = 'unreadable' -- it was no message
  elseif room.room <= 0 then
    answer = 'full'
  else
    room.room = room.room - 1
    redis.call('ZADD', room.backlog, letter['priority'], next_number(room) .. ' 0 - ' .. int(now_ms) .. ' ' .. letter['entry'])
    redis.call('XDEL', DEAD, ARGV[i])
    room.moved = true
  end
  answers[#answers + 1] = answer
end
for i = 1, count do
  if rooms[i] then settle(rooms[i]) end
end
return remember(KEYS[5], ARGV[2], ARGV[3], answers)
