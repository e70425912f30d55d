#!lua flags=allow-oom
-- Forgets a session that is in no room any more: it says good-bye, or is dead.
-- KEYS  1 sessions  2 members  3 names  4 the session's rooms
-- ARGV  1 session  2 its name  3 1: it says so itself
-- Reply 1: forgotten | 0: it lives, or has rooms
--@include clock
local deadline = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ARGV[3] ~= '1' and deadline and tonumber(deadline) > now_ms then return 0 end
if redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
if redis.call('HGET', KEYS[3], ARGV[2]) == ARGV[1] then redis.call('HDEL', KEYS[3], ARGV[2]) end
return 1
