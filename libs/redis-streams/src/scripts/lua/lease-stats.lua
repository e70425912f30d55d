#!lua
-- One atomic look at a service. Changes nothing.
-- KEYS  1 lbs  2 sessions  3 members  4 free  5 follow-ups  6 dead
-- ARGV  1 group
-- Reply {undelivered, pending in total, free, follow-ups, dead letters, server ms, {session, held, capacity, deadline in ms}...}
--@include clock
--@include record
--@include members
local held, total, new = {}, 0, 0
local summary = redis.pcall('XPENDING', KEYS[1], ARGV[1])
if summary.err then -- nobody has consumed yet, or the group was lost: everything is undelivered
  if not string.find(summary.err, 'NOGROUP', 1, true) then return redis.error_reply(summary.err) end
  new = redis.call('XLEN', KEYS[1])
else
  held = pending(KEYS[1], ARGV[1])
  for _, count in pairs(held) do total = total + count end
  new = undelivered(KEYS[1], ARGV[1], total)
end
local capacities = capacities_of(KEYS[3])
local reply = { new, total, redis.call('ZCARD', KEYS[4]), redis.call('HLEN', KEYS[5]),
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
