#!lua
-- Makes a session a member of its scope until its deadline.
-- KEYS  1 sessions  2 members  3 names
-- ARGV  1 session id  2 exclusive name or ''  3 ttl ms  4 meta  5 expected holder or ''  6 its expected deadline  7 bell
-- Reply {'JOINED', next peer deadline in ms or -1}
--       {'CONTESTED', holder, deadline}: the name has a live session. Look again: a deadline that moved
--       means it lives; one that did not may be replaced by naming it in ARGV 5 and 6.
--@include clock
local session, name = ARGV[1], ARGV[2]
if name ~= '' then
  local holder = redis.call('HGET', KEYS[3], name)
  if holder and holder ~= session then
    local deadline = redis.call('ZSCORE', KEYS[1], holder)
    if deadline and tonumber(deadline) > now_ms then
      if not (ARGV[5] == holder and ARGV[6] == deadline) then return { 'CONTESTED', holder, deadline } end
    end
    -- From here on the old incarnation is dead to every script, and the reaper hands out what it held.
    if deadline then redis.call('ZADD', KEYS[1], int(now_ms), holder) end
  end
  redis.call('HSET', KEYS[3], name, session)
end
redis.call('ZADD', KEYS[1], int(now_ms + tonumber(ARGV[3])), session)
redis.call('HSET', KEYS[2], session, ARGV[4])
redis.pcall('PUBLISH', ARGV[7], 'joined')
local peers = redis.call('ZRANGE', KEYS[1], '(' .. int(now_ms), '+inf', 'BYSCORE', 'LIMIT', '0', '2', 'WITHSCORES')
for i = 1, #peers, 2 do
  if peers[i] ~= session then return { 'JOINED', tonumber(peers[i + 1]) - now_ms } end
end
return { 'JOINED', -1 }
