#!lua
-- Adds one sender's batch to rooms of one shard, in order, and shows what can be shown. Sent again under its sequence it
-- adds nothing and answers what it answered then.
-- KEYS  1 current  2 backlogs  3 dead  4 rooms  5 the sender's last batch  6... for each room: state, backlog, outcomes
-- ARGV  1 rules of the rooms, see include/room.lua  2 sequence  3 messages a room may hold  4... four for each message:
--       room (1, 2, ...), priority, sender that waits or '-', payload
-- Reply {'OK', answers}: per message its id, or FULL, or NOPERM: this user may not publish in the room, or FOREIGN: a key of
--       the room is something else | {'LATE'}: older than what is remembered
local FIRST_ROOM = 6
--@include clock
--@include room
--@include speech
--@include sound
local known = redis.call('HMGET', KEYS[5], 'last', 'answers')
local last, sequence = tonumber(known[1] or '0'), tonumber(ARGV[2])
if sequence == last then return { 'OK', known[2] } end
if sequence < last then return { 'LATE' } end
local max, count = tonumber(ARGV[3]), (#KEYS - 5) / 3
-- Closed: what their messages are answered instead of being taken.
local rooms, closed, answers = {}, {}, {}
for i = 1, count do
  if foreign(i) then
    closed[i] = 'FOREIGN'
  elseif not may_publish(KEYS[FIRST_ROOM + (i - 1) * 3]) then
    closed[i] = 'NOPERM'
  else
    rooms[i] = load_room(i)
    rooms[i].room = max - redis.call('ZCARD', rooms[i].backlog)
  end
end
for a = 4, #ARGV, 4 do
  local index = tonumber(ARGV[a])
  local room = rooms[index]
  if not room then
    answers[#answers + 1] = closed[index]
  elseif room.room <= 0 then
    answers[#answers + 1] = 'FULL'
  else
    room.room = room.room - 1
    local id = next_number(room)
    redis.call('ZADD', room.backlog, ARGV[a + 1], id .. ' 0 ' .. ARGV[a + 2] .. ' ' .. int(now_ms) .. ' ' .. ARGV[a + 3])
    room.moved = true
    answers[#answers + 1] = id
  end
end
for i = 1, count do
  if rooms[i] then settle(rooms[i]) end
end
local text = table.concat(answers, ' ')
redis.call('HSET', KEYS[5], 'last', ARGV[2], 'answers', text)
redis.call('PEXPIRE', KEYS[5], outcome_ms)
return { 'OK', text }
