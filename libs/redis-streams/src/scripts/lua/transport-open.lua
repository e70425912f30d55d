#!lua flags=allow-oom
-- Makes the stream of a client's replies where there is none, and renews it.
-- KEYS  1 replies
-- ARGV  1 ms until it expires unless it is renewed
-- Reply 1: it was there | 0: it was not, so what was in it is lost
local was = redis.call('EXISTS', KEYS[1])
if was == 0 then redis.call('XADD', KEYS[1], '*', 'open', '') end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return was
