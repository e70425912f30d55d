#!lua flags=allow-oom
-- One session's acknowledgements as fanout-ack takes them, of rooms in which nothing else is to be done: the last one shows the
-- next message and leaves everything else as it is. Where there is more to do it changes nothing, and says so in the room ("a"):
-- that acknowledgement is to be said in full. Every message of a busy room comes by here as often as the room has members, and
-- the room stands still meanwhile: what a key, a function or a table more takes can be seen.
-- KEYS  1... for each room: state, backlog
-- ARGV  1 session  2... for each room the turn
-- Reply none
local session, finished = ARGV[1], nil
for i = 2, #ARGV do
  local state, turn = KEYS[i * 2 - 3], ARGV[i]
  -- Of something else in its place it is an error: a matter of that room alone, which in full is told.
  local found = redis.pcall('HMGET', state, 'turn', 'left', session)
--@include take
  if taken == 2 then
    finished = finished or {}
    finished[#finished + 1] = i
  end
end
-- All but the last to acknowledge end here.
if not finished then return end
--@include advance
local seen
for n = 1, #finished do
  local i = finished[n]
  local state, turn = KEYS[i * 2 - 3], ARGV[i]
  -- Said twice in one call, it was completed by the first.
  if not (seen and seen[state]) then
    if not advance(state, KEYS[i * 2 - 2], turn) then publish(state, 'a' .. session .. ' ' .. turn) end
    if #finished > 1 then
      seen = seen or {}
      seen[state] = true
    end
  end
end
