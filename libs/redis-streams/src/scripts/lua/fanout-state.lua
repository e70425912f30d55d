#!lua flags=no-writes
-- Everything about one room.
-- KEYS  1 sessions  2 current  3 members  4 state  5 backlog  6 sync  7 async  8 owing  9 outcomes
-- ARGV  1 room
-- Reply {server ms, number or '', id or '', turn, text, priority, deadline or '', waiting, then per member four: session, sync | async, its deadline or '', its ttl, 1 when it owes}
--@include clock
local state = redis.call('HMGET', KEYS[4], 'number', 'id', 'turn', 'text', 'priority')
local members = {}
local function add(key, mode)
  for _, session in ipairs(redis.call('SMEMBERS', key)) do
    members[#members + 1] = session
    members[#members + 1] = mode
    members[#members + 1] = redis.call('ZSCORE', KEYS[1], session) or ''
    members[#members + 1] = redis.call('HGET', KEYS[3], session) or ''
    members[#members + 1] = redis.call('SISMEMBER', KEYS[8], session)
  end
end
add(KEYS[6], 'sync')
add(KEYS[7], 'async')
return { int(now_ms), state[1] or '', state[2] or '', state[3] or '', state[4] or '', state[5] or '',
  redis.call('ZSCORE', KEYS[2], ARGV[1]) or '', redis.call('ZCARD', KEYS[5]), members }
