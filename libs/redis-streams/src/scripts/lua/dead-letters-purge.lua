#!lua flags=allow-oom
-- Deletes dead letters: those named, or the oldest ones up to an id. Sending a batch again (same number) deletes nothing more
-- and answers what it answered then.
-- KEYS  1 dead  2 what this purge was answered last
-- ARGV  1 batch  2 ms to keep the answers  3 delete the oldest up to this id, or ''  4 so many of them at most
--       5... ids of dead letters
-- Reply {how many were deleted}
--@include letter
local known = answered(KEYS[2], ARGV[1])
if known then return known end
local deleted = 0
if ARGV[3] ~= '' then
  for _, row in ipairs(redis.call('XRANGE', KEYS[1], '-', ARGV[3], 'COUNT', ARGV[4])) do
    deleted = deleted + redis.call('XDEL', KEYS[1], row[1])
  end
end
for i = 5, #ARGV do deleted = deleted + redis.call('XDEL', KEYS[1], ARGV[i]) end
return remember(KEYS[2], ARGV[1], ARGV[2], { string.format('%.0f', deleted) })
