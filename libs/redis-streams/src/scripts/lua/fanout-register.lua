#!lua
-- The first process says how many shards there are; the others hear what it said.
-- KEYS  1 what all must agree on
-- ARGV  1 shards  2 who says it
-- Reply {shards, who said it}
redis.call('HSETNX', KEYS[1], 'shards', ARGV[1])
redis.call('HSETNX', KEYS[1], 'by', ARGV[2])
return redis.call('HMGET', KEYS[1], 'shards', 'by')
