#!lua
-- Takes over one named stream whose owner is dead, or that waits for an owner. The first caller wins.
-- KEYS  1 lbs  2 sessions  3 leases  4 checkpoints  5 free  6 epoch
-- ARGV  1 session  2 group  3 stream
-- Reply {'LOST'} | {'CLAIMED', grant as in lease-acquire} | {'TAKEN', owner} | {'GONE'}
--@include clock
--@include record
--@include announcement
local me, group, stream = ARGV[1], ARGV[2], ARGV[3]
local deadline = redis.call('ZSCORE', KEYS[2], me)
if not deadline or tonumber(deadline) <= now_ms then return { 'LOST' } end
local r = read_record(KEYS[3], stream)
if not r or r.owner == 'queued' then return { 'GONE' } end
local function claimed(fields, lease, source)
  return { 'CLAIMED', { lease.entry, stream, field(fields, 'lbs-input') or '', lease.token, lease.attempt, lease.failures,
    lease.previous, redis.call('HGET', KEYS[4], stream) or '', lease.since, source, lease.takeovers } }
end
if r.owner == me then -- asked again, since the first answer was lost: it is granted already
  local mine = redis.call('XRANGE', KEYS[1], r.entry, r.entry)[1]
  if mine then return claimed(mine[2], r, 'held') end
  return { 'GONE' }
end
local owner_deadline = redis.call('ZSCORE', KEYS[2], r.owner)
if owner_deadline and tonumber(owner_deadline) > now_ms then return { 'TAKEN', r.owner } end
local entry = redis.call('XCLAIM', KEYS[1], group, me, '0', r.entry, 'FORCE')[1]
if not entry or not entry[2] then
  redis.call('ZADD', KEYS[5], int(now_ms), r.entry) -- for the next acquire, which lets go of what waits behind it
  return { 'GONE' }
end
local pooled = r.owner == 'retrying' or r.owner == 'released'
local epoch = math.max(tonumber(redis.call('GET', KEYS[6]) or '0') + 1, now_us)
redis.call('SET', KEYS[6], int(epoch))
local lease = { entry = r.entry, token = int(epoch), owner = me, attempt = r.attempt + 1, failures = r.failures,
  since = int(now_ms), previous = pooled and r.previous or r.owner,
  takeovers = pooled and 0 or r.takeovers + 1 }
write_record(KEYS[3], stream, lease)
redis.call('ZREM', KEYS[5], r.entry)
return claimed(entry[2], lease, pooled and r.owner or 'takeover')
