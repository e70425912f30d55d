#!lua
-- Lists streams whose owner is past its deadline, for manual claims. What a dead consumer was delivered without
-- ever owning it (it died between its read and its acquire) needs no claim: that becomes free.
-- KEYS  1 lbs  2 sessions  3 leases  4 free
-- ARGV  1 group  2 how many at most  3 bell
-- Reply {{stream, entry id, dead owner, its token}...}
--@include clock
--@include record
--@include announcement
--@include members
local group, most = ARGV[1], tonumber(ARGV[2])
local found, live, freed = {}, live_members(KEYS[2]), false
local summary = redis.pcall('XPENDING', KEYS[1], group)
if summary.err or not summary[4] then return found end
for _, consumer in ipairs(summary[4]) do
  if consumer[1] ~= POOL and not live[consumer[1]] then
    for _, row in ipairs(redis.call('XPENDING', KEYS[1], group, '-', '+', tostring(most), consumer[1])) do
      local entry = redis.call('XRANGE', KEYS[1], row[1], row[1])[1]
      local stream = entry and stream_name(entry[2], 16777216)
      local r = stream and read_record(KEYS[3], stream)
      if r and r.entry == row[1] and r.owner == consumer[1] then
        if #found < most then found[#found + 1] = { stream, row[1], r.owner, r.token } end
      else
        redis.call('XCLAIM', KEYS[1], group, POOL, '0', row[1], 'JUSTID')
        redis.call('ZADD', KEYS[4], int(now_ms), row[1])
        freed = true
      end
    end
  end
end
if freed then redis.pcall('PUBLISH', ARGV[3], 'free') end
return found
