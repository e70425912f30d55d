#!lua
-- Puts dead letters back into the backlogs of their rooms, each under a new id, shows what can be shown, and removes the
-- letters in the same step: none is ever in both places, nor in none. Sending a batch again (same number) adds nothing twice
-- and answers what it answered then.
-- KEYS  1 sessions  2 current  3 backlogs  4 rooms  5 dead  6 what this replay was answered last
--       7... for each room: state, backlog, sync, async, owing, outcomes
-- ARGV  1 hold | pass  2 ms until the current message is overdue  3 redeliveries  4 ms to remember outcomes  5 beginning of the senders' channels
--       6 bell  7 batch  8 ms to keep the answers  9 messages a room may hold  10 how many rooms  11... their names, then ids of dead letters
-- Reply per letter OK | gone | full | unreadable
--@include clock
--@include room
--@include letter
local known = answered(KEYS[6], ARGV[7])
if known then return known end
local max, count = tonumber(ARGV[9]), tonumber(ARGV[10])
local rooms, answers = {}, {}
for i = 1, count do
  local room = load_room(i, ARGV[10 + i])
  room.room = max - redis.call('ZCARD', room.backlog)
  rooms[i], rooms[room.name] = room, room
end
for i = 11 + count, #ARGV do
  local letter = letter_at(KEYS[5], ARGV[i])
  local room = letter and rooms[letter['room'] or '']
  local answer = 'OK'
  if not letter then
    answer = 'gone'
  elseif not room or not letter['id'] or not letter['entry'] or not tonumber(letter['priority']) then
    answer = 'unreadable' -- it was no message
  elseif room.room <= 0 then
    answer = 'full'
  else
    room.room = room.room - 1
    redis.call('ZADD', room.backlog, letter['priority'], next_number(room) .. ' 0 - ' .. int(now_ms) .. ' ' .. letter['entry'])
    redis.call('XDEL', KEYS[5], ARGV[i])
    room.moved = true
  end
  answers[#answers + 1] = answer
end
for i = 1, count do settle(rooms[i]) end
return remember(KEYS[6], ARGV[7], ARGV[8], answers)
