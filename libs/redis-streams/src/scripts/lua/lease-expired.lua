#!lua
-- Lists streams whose owner is past its deadline, for manual claims. Changes nothing.
-- KEYS  1 lbs  2 sessions  3 leases
-- ARGV  1 group  2 how many at most
-- Reply {{stream, entry id, dead owner, its token}...}
--@include clock
--@include record
--@include announcement
--@include members
local group, most = ARGV[1], tonumber(ARGV[2])
local found, live = {}, live_members(KEYS[2])
local summary = redis.pcall('XPENDING', KEYS[1], group)
if summary.err or not summary[4] then return found end
for _, consumer in ipairs(summary[4]) do
  if consumer[1] ~= POOL and not live[consumer[1]] then
    for _, row in ipairs(redis.call('XPENDING', KEYS[1], group, '-', '+', tostring(most), consumer[1])) do
      local entry = redis.call('XRANGE', KEYS[1], row[1], row[1])[1]
      local stream = entry and stream_name(entry[2], 16777216)
      local r = stream and read_record(KEYS[3], stream)
      if r and r.entry == row[1] and #found < most then found[#found + 1] = { stream, row[1], r.owner, r.token } end
    end
  end
end
return found
