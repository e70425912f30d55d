#!lua flags=allow-oom
-- A session that is stopping has no room any more, though it still works off what it holds: its share goes to the
-- others now, and not only after the time they leave to a slow peer.
-- KEYS  1 sessions  2 members
-- ARGV  1 session  2 bell
-- Reply {'RETIRED'} | {'LOST'}
--@include clock
local deadline = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not deadline or tonumber(deadline) <= now_ms then return { 'LOST' } end
redis.call('HSET', KEYS[2], ARGV[1], '0')
redis.pcall('PUBLISH', ARGV[2], 'free')
return { 'RETIRED' }
