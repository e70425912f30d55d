#!lua flags=allow-oom
-- Registers a partitioned stream or a queue: the first registration wins.
-- KEYS  1 registration
-- ARGV  1 definition (JSON) or '' to ask only  2 who registers it
-- Reply {'OK' | 'EXISTS', definition, who} | {'NONE'}
--@include clock
local known = redis.call('HMGET', KEYS[1], 'definition', 'by')
if known[1] then return { 'EXISTS', known[1], known[2] or '-' } end
if ARGV[1] == '' then return { 'NONE' } end
redis.call('HSET', KEYS[1], 'definition', ARGV[1], 'by', ARGV[2], 'at', int(now_ms))
return { 'OK', ARGV[1], ARGV[2] }
