#!lua flags=no-writes
-- What needs somebody's attention in a shard.
-- KEYS  1 sessions  2 current  3 rooms
-- ARGV  1 show rooms born after this number, or ''  2 name rooms whose deadline is within so many ms  3 of those skip so many
-- Reply {server us, dead sessions, rooms with an overdue message, rooms with an old one, ms to the next message's deadline or -1,
--        born rooms with number, ms to the next session's deadline or -1}
--@include clock
local now = int(now_ms)
local function next_ms(key)
  local first = redis.call('ZRANGE', key, '(' .. now, '+inf', 'BYSCORE', 'LIMIT', '0', '1', 'WITHSCORES')
  return first[2] and tonumber(first[2]) - now_ms or -1
end
return {
  int(now_us),
  redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', '0', '100'),
  redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', '0', '100'),
  redis.call('ZRANGE', KEYS[2], '(' .. now, int(now_ms + tonumber(ARGV[2])), 'BYSCORE', 'LIMIT', ARGV[3], '500'),
  next_ms(KEYS[2]),
  ARGV[1] == '' and {} or redis.call('ZRANGE', KEYS[3], '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', '0', '500', 'WITHSCORES'),
  next_ms(KEYS[1]),
}
