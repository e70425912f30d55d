#!lua flags=allow-oom
-- Says, before their handlers run, that messages are being handled: should the process die now, they are counted.
-- KEYS  1 sessions  2 attempts
-- ARGV  1 session  2... id, failures and crashes of each
-- Reply 'LOST' | 'OK'
--@include clock
--@include queue
if not live(KEYS[1], ARGV[1]) then return 'LOST' end
for i = 2, #ARGV, 3 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2] .. ' 1') end
return 'OK'
