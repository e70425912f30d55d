#!lua flags=allow-oom
-- One session's acknowledgements, each by the turn in which it was shown. Of anything but the current message they change
-- nothing, nor do they twice.
-- KEYS  1 current  2 backlogs  3 dead  4... for each room: state, backlog, outcomes
-- ARGV  1 rules of the rooms, see include/room.lua  2 session  3... for each room the turn; then two for each with ejected local
--       subscribers: its place (1, 2, ...), their names
-- Reply per room 1: taken | 0: not owed | -1: the session is no member of it
local call = redis.call
-- Turns are the time in microseconds, and compared as the text they are, unless somebody's clock was set.
local function earlier(a, b)
  if #a == #b then return a < b end
  return tonumber(a) < tonumber(b)
end
local session, count, replies, finished = ARGV[2], (#KEYS - 3) / 3, {}, nil

for i = 1, count do
  local state, turn = KEYS[1 + i * 3], ARGV[2 + i]
  local found = call('HMGET', state, 'turn', 'left', session)
  local noted = found[3]
  if not noted then
    replies[i] = -1
  elseif found[1] ~= turn or noted == 'async' or noted == turn or not earlier(noted, turn) then
    replies[i] = 0
  else
    replies[i] = 1
    if found[2] == '1' then
      finished = finished or {}
      finished[#finished + 1] = i
    else
      call('HSET', state, session, turn, 'left', string.format('%d', found[2] - 1))
    end
  end
end
for a = 3 + count, #ARGV, 2 do
  local i = tonumber(ARGV[a])
  if replies[i] == 1 then
    local state = KEYS[1 + i * 3]
    local before = call('HGET', state, 'who')
    call('HSET', state, 'who', before and before .. ',' .. ARGV[a + 1] or ARGV[a + 1])
  end
end
-- All but the last to acknowledge end here.
if not finished then return replies end
-- Shows the next message of a room whose current one everybody has acknowledged: what `settle` of include/room.lua does, for
-- rooms in which nothing else is to be done. Its functions and tables take the server longer than that, and each message of
-- every room comes by here. Answers false, and has changed nothing, where there is more to do.
local function advance(at, turn)
  local room = call('HMGET', KEYS[at], 'number', 'sync', 'noted', 'sender', 'ejected', 'who')
  if not room[2] or room[4] or room[5] or room[6] then return false end
  local first = call('ZPOPMIN', KEYS[at + 1])
  local entry, priority = first[1], first[2]
  if not entry then return false end
  local id, tries, sender, rest = string.match(entry, '^(%d+) (%d+) (%S+) (%d+ .*)$')
  if not id then
    call('ZADD', KEYS[at + 1], priority, entry)
    return false
  end
  local time, due = call('TIME'), room[2]
  local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  local overdue_at = now_ms + string.match(ARGV[1], '^%a+ (%d+)')
  -- Turns are the time in microseconds, and compared as the text they are, unless somebody's clock was set.
  local now_us = time[1] .. string.sub('00000' .. time[2], -6)
  if #turn == #now_us and turn < now_us and room[1] and #room[1] == #now_us and room[1] < now_us then turn = now_us
  else turn = string.format('%d', math.max(tonumber(room[1] or '0') + 1, tonumber(turn) + 1, tonumber(now_us))) end
  local text = 'm' .. id .. ' ' .. turn .. ' ' .. priority .. ' ' .. tries .. ' ' .. rest
  local reply = redis.pcall('SPUBLISH', KEYS[at], text)
  if type(reply) == 'table' and reply.err then redis.pcall('PUBLISH', KEYS[at], text) end
  local overdue = string.format('%d', overdue_at)
  if sender == '-' then call('HSET', KEYS[at], 'turn', turn, 'left', due, 'due', due, 'until', overdue, 'text', text)
  else call('HSET', KEYS[at], 'turn', turn, 'left', due, 'due', due, 'until', overdue, 'text', text, 'sender', sender) end
  -- How many still wait is noted now and then; that none does, when this message ends.
  local noted = tonumber(room[3] or '0')
  if overdue_at < noted or overdue_at - noted > (overdue_at - now_ms) / 32 then
    local name = string.sub(KEYS[at], #KEYS[1] - #'current' + #'room:' + 1)
    call('HSET', KEYS[at], 'noted', overdue)
    call('ZADD', KEYS[1], overdue, name)
    local waiting = call('ZCARD', KEYS[at + 1])
    if waiting > 0 then call('ZADD', KEYS[2], waiting, name) end
  end
  return true
end

local rest
for _, i in ipairs(finished) do
  local at, turn = 1 + i * 3, ARGV[2 + i]
  -- Said twice in one call, it was completed by the first.
  if #finished > 1 and call('HGET', KEYS[at], 'turn') ~= turn then
    replies[i] = 0
  elseif not advance(at, turn) then
    rest = rest or {}
    rest[#rest + 1] = i
  end
end
if not rest then return replies end
local FIRST_ROOM = 4
--@include clock
--@include room
for _, i in ipairs(rest) do
  local room = load_room(i)
  if room.turn == tonumber(ARGV[2 + i]) then
    room.left = 0
    settle(room)
  else
    replies[i] = 0
  end
end
return replies
