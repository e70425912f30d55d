#!lua flags=allow-oom
-- Ends a session. What it still holds may be delivered again at once.
-- KEYS  1 messages  2 sessions  3 members  4 names  5 retries  6 attempts
-- ARGV  1 session  2 exclusive name or ''  3 group  4 bell  5 messages to move at most
-- Reply 'LEFT' | 'MORE': call again
--@include clock
--@include queue
local messages, session, group, most = KEYS[1], ARGV[1], ARGV[3], ARGV[5]
local rows = redis.pcall('XPENDING', messages, group, '-', '+', most, session)
if not rows.err then
  for _, row in ipairs(rows) do
    redis.call('XCLAIM', messages, group, POOL, '0', row[1], 'JUSTID')
    -- Broken off, not died: what was begun is no crash.
    local record = redis.call('HGET', KEYS[6], row[1])
    if record then
      local failures, crashes = attempts_of(record)
      redis.call('HSET', KEYS[6], row[1], int(failures) .. ' ' .. int(crashes) .. ' 0')
    end
    redis.call('ZADD', KEYS[5], int(now_ms), row[1])
  end
  if #rows == tonumber(most) then return 'MORE' end
  redis.call('XGROUP', 'DELCONSUMER', messages, group, session)
  sweep(KEYS[6], KEYS[5], redis.call('XPENDING', messages, group)[1])
end
redis.call('ZREM', KEYS[2], session)
redis.call('HDEL', KEYS[3], session)
if ARGV[2] ~= '' and redis.call('HGET', KEYS[4], ARGV[2]) == session then redis.call('HDEL', KEYS[4], ARGV[2]) end
redis.pcall('PUBLISH', ARGV[4], 'left')
return 'LEFT'
