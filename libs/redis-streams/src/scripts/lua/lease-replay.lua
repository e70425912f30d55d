#!lua
-- Announces dead letters again, as an announcer would, and removes each in the same step: it is never in both places, nor
-- in none. Sending a batch again (same number) announces nothing twice and answers what it answered then.
-- KEYS  1 dead  2 what this replay was answered last  3 lbs  4 leases  5 checkpoints
-- ARGV  1 batch  2 ms to keep the answers  3... ids of dead letters
-- Reply per letter OK | gone | already-open | unreadable
--@include clock
--@include record
--@include announcement
--@include letter
local known = answered(KEYS[2], ARGV[1])
if known then return known end
local answers = {}
for i = 3, #ARGV do
  local letter, entry = letter_at(KEYS[1], ARGV[i])
  local stream = letter and (letter['stream'] or stream_name(entry, math.huge))
  local r = stream and read_record(KEYS[4], stream)
  local answer = 'OK'
  if not letter then
    answer = 'gone'
  elseif not stream or not field(entry, 'lbs-input') or letter['truncatedFields'] then
    answer = 'unreadable' -- nobody could be given it, or not as it was
  elseif r and #redis.call('XRANGE', KEYS[3], r.entry, r.entry) > 0 then
    answer = 'already-open'
  else
    local id = redis.call('XADD', KEYS[3], '*', unpack(entry))
    write_record(KEYS[4], stream, { entry = id, token = '0', owner = 'queued', attempt = 0, failures = 0,
      since = int(now_ms), previous = '-' })
    -- It goes on where it had come to.
    local checkpoint = letter['checkpoint'] or ''
    if checkpoint ~= '' then redis.call('HSETNX', KEYS[5], stream, checkpoint) end
    redis.call('XDEL', KEYS[1], ARGV[i])
  end
  answers[#answers + 1] = answer
end
return remember(KEYS[2], ARGV[1], ARGV[2], answers)
