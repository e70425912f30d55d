#!lua
-- Adds one sender's batch to rooms of one shard, in order, and shows what can be shown. Sent again under its sequence it
-- adds nothing and answers what it answered then.
-- KEYS  1 sessions  2 current  3 backlogs  4 rooms  5 dead  6 the sender's last batch
--       7... for each room: state, backlog, sync, async, owing, outcomes
-- ARGV  1 hold | pass  2 ms until the current message is overdue  3 redeliveries  4 ms to remember outcomes  5 beginning of the senders' channels
--       6 bell  7 sequence  8 messages a room may hold  9 how many rooms  10... their names, then
--       four for each message: room (1, 2, ...), priority, sender that waits or '-', payload
-- Reply {'OK', answers}: per message its id, or FULL | {'LATE'}: older than what is remembered
--@include clock
--@include room
local known = redis.call('HMGET', KEYS[6], 'last', 'answers')
local last, sequence = tonumber(known[1] or '0'), tonumber(ARGV[7])
if sequence == last then return { 'OK', known[2] } end
if sequence < last then return { 'LATE' } end
local max, count = tonumber(ARGV[8]), tonumber(ARGV[9])
local rooms, answers = {}, {}
for i = 1, count do
  rooms[i] = load_room(i, ARGV[9 + i])
  rooms[i].room = max - redis.call('ZCARD', rooms[i].backlog)
end
for a = 10 + count, #ARGV, 4 do
  local room = rooms[tonumber(ARGV[a])]
  if room.room <= 0 then
    answers[#answers + 1] = 'FULL'
  else
    room.room = room.room - 1
    local id = next_number(room)
    redis.call('ZADD', room.backlog, ARGV[a + 1], id .. ' 0 ' .. ARGV[a + 2] .. ' ' .. int(now_ms) .. ' ' .. ARGV[a + 3])
    room.moved = true
    answers[#answers + 1] = id
  end
end
for i = 1, count do settle(rooms[i]) end
local text = table.concat(answers, ' ')
redis.call('HSET', KEYS[6], 'last', ARGV[7], 'answers', text)
redis.call('PEXPIRE', KEYS[6], ARGV[4])
return { 'OK', text }
