#!lua flags=allow-oom
-- Shows a message to everybody in a room at once, beside the order, and forgets it.
-- KEYS  1 the room's state
-- ARGV  1 text
-- Reply how many connections got it | 'NOPERM': this user may not publish there
--@include speech
if not may_publish(KEYS[1]) then return 'NOPERM' end
local reply = redis.pcall('SPUBLISH', KEYS[1], ARGV[1])
if type(reply) == 'table' and reply.err then return redis.call('PUBLISH', KEYS[1], ARGV[1]) end
return reply
