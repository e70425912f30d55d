#!lua
-- One atomic look at a service. Changes nothing but a missing group, which it creates.
-- KEYS  1 lbs  2 sessions  3 members  4 free  5 follow-ups  6 dead
-- ARGV  1 group
-- Reply {undelivered, pending in total, free, follow-ups, dead letters, server ms, {session, held, capacity, deadline in ms}...}
--@include clock
--@include record
--@include members
local held, _, failed = pending(KEYS[1], ARGV[1])
if failed then return redis.error_reply(failed) end
local total = 0
for _, count in pairs(held) do total = total + count end
local capacities = capacities_of(KEYS[3])
local reply = { undelivered(KEYS[1], ARGV[1], total), total, redis.call('ZCARD', KEYS[4]), redis.call('HLEN', KEYS[5]),
  redis.call('XLEN', KEYS[6]), now_ms }
local listed = {}
local sessions = redis.call('ZRANGE', KEYS[2], '0', '-1', 'WITHSCORES')
for i = 1, #sessions, 2 do
  local session = sessions[i]
  listed[session] = true
  reply[#reply + 1] = { session, held[session] or 0, capacities[session] or 0, tonumber(sessions[i + 1]) - now_ms }
end
for consumer, count in pairs(held) do
  -- pending for somebody without a session: an owner replaced by name, or a foreign consumer
  if consumer ~= POOL and not listed[consumer] then reply[#reply + 1] = { consumer, count, 0, -1 } end
end
return reply
