#!lua flags=allow-oom
-- Ends a session on purpose: what it owns is free, and its seat is given up, or kept for a while under its name.
-- KEYS  1 sessions  2 members  3 names  4 roster  5 away  6 group  7 target  8 owners
-- ARGV  1 session  2 member  3 bell  4 ms to keep the seat, or 0
-- Reply how many partitions became free
--@include clock
--@include group
local me, member = ARGV[1], ARGV[2]
local freed, list = 0, redis.call('HGETALL', KEYS[8])
for i = 1, #list, 2 do
  local session, epoch = string.match(list[i + 1], '^(%S+) (%d+)$')
  if session == me then
    redis.call('HSET', KEYS[8], list[i], '- ' .. epoch)
    freed = freed + 1
  end
end
drop_session(me, member)
if redis.call('HGET', KEYS[4], member) == me then
  if tonumber(ARGV[4]) > 0 then
    redis.call('HSET', KEYS[4], member, '-')
    redis.call('ZADD', KEYS[5], int(now_ms + tonumber(ARGV[4])), member)
    redis.pcall('PUBLISH', ARGV[3], 'away')
  else
    redis.call('HDEL', KEYS[4], member)
    changed(ARGV[3], 'roster')
  end
elseif freed > 0 then -- its seat was given up before; somebody waits for these
  redis.pcall('PUBLISH', ARGV[3], 'free')
end
return freed
