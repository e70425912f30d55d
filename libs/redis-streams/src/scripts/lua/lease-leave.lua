#!lua flags=allow-oom
-- Ends a session. Whatever is still pending for it becomes free at once, unfinished and unacknowledged.
-- KEYS  1 lbs  2 sessions  3 members  4 names  5 leases  6 free  7 settled
-- ARGV  1 session  2 exclusive name or ''  3 group  4 bell  5 entries to move at most
-- Reply {'LEFT' | 'MORE', entries moved}; MORE: call again
--@include clock
--@include record
--@include announcement
local me, group, most = ARGV[1], ARGV[3], tonumber(ARGV[5])
local moved = 0
local rows = redis.pcall('XPENDING', KEYS[1], group, '-', '+', tostring(most), me)
if not rows.err then
  for _, row in ipairs(rows) do
    local entry = redis.call('XCLAIM', KEYS[1], group, POOL, '0', row[1])[1]
    redis.call('ZADD', KEYS[6], int(now_ms), row[1]) -- a gone one as well: something may wait behind it
    moved = moved + 1
    if entry and entry[2] then
      local stream = stream_name(entry[2], 16777216)
      local r = stream and read_record(KEYS[5], stream)
      if r and r.entry == row[1] and r.owner == me then
        r.attempt, r.owner, r.previous, r.since = r.attempt - 1, 'released', me, int(now_ms)
        write_record(KEYS[5], stream, r)
      end
    end
  end
  if moved > 0 then redis.pcall('PUBLISH', ARGV[4], 'free') end
  if #rows == most then return { 'MORE', moved } end
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], group, me)
end
redis.call('ZREM', KEYS[2], me)
redis.call('HDEL', KEYS[3], me)
redis.call('HDEL', KEYS[7], me)
if ARGV[2] ~= '' and redis.call('HGET', KEYS[4], ARGV[2]) == me then redis.call('HDEL', KEYS[4], ARGV[2]) end
redis.pcall('PUBLISH', ARGV[4], 'left')
return { 'LEFT', moved }
