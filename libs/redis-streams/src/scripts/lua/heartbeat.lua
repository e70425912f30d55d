#!lua flags=allow-oom
-- Extends a session. A session past its deadline is dead for good, reaped or not.
-- KEYS  1 sessions  2 names
-- ARGV  1 session id  2 exclusive name or ''  3 ttl ms
-- Reply {'LIVE', next peer deadline in ms or -1} | {'LOST'} | {'REPLACED', the session that took the name}
--@include clock
local deadline = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not deadline or tonumber(deadline) <= now_ms then
  local holder = ARGV[2] ~= '' and redis.call('HGET', KEYS[2], ARGV[2])
  if holder and holder ~= ARGV[1] then return { 'REPLACED', holder } end
  return { 'LOST' }
end
redis.call('ZADD', KEYS[1], 'XX', int(now_ms + tonumber(ARGV[3])), ARGV[1])
local peers = redis.call('ZRANGE', KEYS[1], '(' .. int(now_ms), '+inf', 'BYSCORE', 'LIMIT', '0', '2', 'WITHSCORES')
for i = 1, #peers, 2 do
  if peers[i] ~= ARGV[1] then return { 'LIVE', tonumber(peers[i + 1]) - now_ms } end
end
return { 'LIVE', -1 }
