#!lua flags=no-writes
-- What a plan is made from, and what a person asks for.
-- KEYS  1 sessions  2 members  3 names  4 roster  5 away  6 group  7 target  8 owners
-- Reply {generation, planned generation, roster, target, owners, live sessions with deadline, server ms, paused}
--@include clock
local state = redis.call('HMGET', KEYS[6], 'generation', 'planned', 'paused')
return { state[1] or '0', state[2] or '0', redis.call('HGETALL', KEYS[4]), redis.call('HGETALL', KEYS[7]),
  redis.call('HGETALL', KEYS[8]), redis.call('ZRANGE', KEYS[1], '(' .. int(now_ms), '+inf', 'BYSCORE', 'WITHSCORES'),
  int(now_ms), state[3] or '' }
