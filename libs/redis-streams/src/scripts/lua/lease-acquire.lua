#!lua
-- Hands streams to one consumer: offered ones first, then those of dead owners, then free ones that are due,
-- then new announcements. The only script, with lease-claim, that makes an owner.
-- KEYS  1 lbs  2 sessions  3 members  4 leases  5 checkpoints  6 free  7 follow-ups  8 epoch  9 dead  10 names
--       11 settled
-- ARGV  1 session  2 group  3 bell  4 how many at most  5 fair | any  6 auto | manual (dead owners' streams)
--       7 bytes of payload to stop at  8 bytes allowed in one announcement  9 ms a failed stream avoids its owner
--       10... ids of entries pending for this session without a lease known to it
-- Reply {'LOST'} | {'OK', grants, rejects, {created, mine, share, members, undelivered, orphans, due, next due in ms
--       or -1, next peer deadline in ms or -1, held in total}}
--       grant: {id, stream, payload, token, attempt, failures, previous or '-', checkpoint or '', since, source, takeovers}
--       source: new | takeover | retrying | released | held (already this session's)
--       reject: {id, reason}, moved to the dead-letter stream
--@include clock
--@include record
--@include announcement
--@include finish
--@include members
local me, group, bell = ARGV[1], ARGV[2], ARGV[3]
local keys = { lbs = KEYS[1], sessions = KEYS[2], leases = KEYS[4], checkpoints = KEYS[5], free = KEYS[6],
  follow_ups = KEYS[7], dead = KEYS[9] }
local want, mode, auto = tonumber(ARGV[4]), ARGV[5], ARGV[6] == 'auto'
local max_bytes, max_entry, avoid_ms = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

local live = live_members(keys.sessions)
if not live[me] then return { 'LOST' } end
local held, created, failed = pending(keys.lbs, group)
if failed then return redis.error_reply(failed) end
local capacities = capacities_of(KEYS[3])

local member_count, next_peer = 0, -1
for member, deadline in pairs(live) do
  member_count = member_count + 1
  if member ~= me and (next_peer < 0 or deadline - now_ms < next_peer) then next_peer = deadline - now_ms end
end

-- What there is to own, and this session's part of it.
local total, orphans = 0, 0
for consumer, count in pairs(held) do
  total = total + count
  if consumer ~= POOL and not live[consumer] then orphans = orphans + count end
end
local new = undelivered(keys.lbs, group, total)
local parked = redis.call('HLEN', keys.follow_ups)
local runnable = total + new - parked
if not auto then runnable = runnable - orphans end
local share = fair_share(runnable, live, capacities, me)
local mine = held[me] or 0

local epoch = tonumber(redis.call('GET', KEYS[8]) or '0')
local grants, rejects, bytes, ring = {}, {}, 0, false

local function room()
  if #grants >= want or bytes >= max_bytes or #rejects >= want then return false end
  return mode == 'any' or mine < share
end

local function to_pool(id, due)
  redis.call('XCLAIM', keys.lbs, group, POOL, '0', id, 'JUSTID')
  redis.call('ZADD', keys.free, int(due), id)
end

local function push(id, stream, payload, r, source)
  bytes = bytes + #payload
  grants[#grants + 1] = { id, stream, payload, r.token, r.attempt, r.failures, r.previous,
    redis.call('HGET', keys.checkpoints, stream) or '', r.since, source, r.takeovers or 0 }
end

-- A refused announcement may have a record, made when it was queued. Its name stands first as our announcers write
-- it, and is found there without decoding what may be too large or too deep for it.
local function drop_queued(id, fields)
  local stream = string.match(field(fields, 'lbs-input') or '', '^{"DataStreamName":"([^"\\]+)"')
  local r = stream and read_record(keys.leases, stream)
  if r and r.entry == id and r.owner == 'queued' then redis.call('HDEL', keys.leases, stream) end
end

-- The entry is pending for this session. Answers true when it stays so.
local function grant(id, fields, source)
  local stream, payload = stream_name(fields, max_entry)
  if not stream then
    bytes = bytes + #(field(fields, 'lbs-input') or '') -- refused ones weigh on the server just the same
    dead_letter(keys, fields, { 'reason', payload, 'entryId', id, 'at', int(now_ms) })
    drop_queued(id, fields)
    drop_entry(keys.lbs, group, id)
    redis.call('ZREM', keys.free, id)
    rejects[#rejects + 1] = { id, payload }
    return false
  end
  local r = read_record(keys.leases, stream)
  if r and r.entry == id and live[r.owner] then
    if r.owner == me then push(id, stream, payload, r, 'held') return true end
    -- The group was lost and read again: the record, not the reading, says who owns it.
    redis.call('XCLAIM', keys.lbs, group, r.owner, '0', id, 'JUSTID')
    redis.call('ZREM', keys.free, id)
    return false
  end
  if r and r.entry ~= id and r.owner ~= 'queued' then
    local open = live[r.owner] or #redis.call('XPENDING', keys.lbs, group, r.entry, r.entry, '1') > 0
    if open and #redis.call('XRANGE', keys.lbs, r.entry, r.entry) > 0 then
      -- Announced again while open: runs once more afterwards. Only the newest such announcement is kept.
      local older = redis.call('HGET', keys.follow_ups, stream)
      if older and older ~= id then drop_entry(keys.lbs, group, older) end
      redis.call('XCLAIM', keys.lbs, group, POOL, '0', id, 'JUSTID')
      redis.call('HSET', keys.follow_ups, stream, id)
      redis.call('ZREM', keys.free, id)
      return false
    end
    r = nil -- its announcement is gone: nothing will ever end that lease
  end
  if r and r.owner == 'queued' then r = nil end
  local due = source == 'new' and r and redis.call('ZSCORE', keys.free, id)
  if due and tonumber(due) > now_ms then -- the group was lost and read again: its backoff still counts
    redis.call('XCLAIM', keys.lbs, group, POOL, '0', id, 'JUSTID')
    return false
  end
  if source == 'takeover' and not r then source = 'new' end -- its reader died before it owned the stream
  epoch = math.max(epoch + 1, now_us)
  local previous = '-'
  if r then previous = (r.owner == 'retrying' or r.owner == 'released') and r.previous or r.owner end
  local lease = { entry = id, token = int(epoch), owner = me, attempt = (r and r.attempt or 0) + 1,
    failures = r and r.failures or 0, since = int(now_ms), previous = previous,
    takeovers = source == 'takeover' and (r and r.takeovers or 0) + 1 or 0 }
  write_record(keys.leases, stream, lease)
  redis.call('ZREM', keys.free, id)
  push(id, stream, payload, lease, source == 'free' and (r and r.owner or 'released') or source)
  return true
end

-- What was announced behind an announcement that a hand has deleted takes its place. A gone one does not say any more of
-- which stream it was, but the records do: they are looked through once, and only for streams that something waits behind.
local behind
local function make_way(gone)
  if not behind then
    behind = {}
    local waiting = redis.call('HGETALL', keys.follow_ups)
    for i = 1, #waiting, 2 do
      local r = read_record(keys.leases, waiting[i])
      if r and (r.owner == me or not live[r.owner]) then behind[r.entry] = { waiting[i], waiting[i + 1] } end
    end
  end
  local next = behind[gone]
  if not next then return end
  redis.call('HDEL', keys.leases, next[1])
  redis.call('HDEL', keys.follow_ups, next[1])
  redis.call('ZADD', keys.free, int(now_ms), next[2])
  ring = true
end

-- 1. Entries this session was delivered without a lease (a blocking read, or an answer that was lost).
for i = 10, #ARGV do
  local id = ARGV[i]
  local row = redis.call('XPENDING', keys.lbs, group, id, id, '1')[1]
  if row and row[2] == me then
    local entry = redis.call('XRANGE', keys.lbs, id, id)[1]
    if not entry then
      redis.call('XACK', keys.lbs, group, id)
      make_way(id)
      mine = mine - 1
    else
      -- Already counted in `mine`: it fits when we hold no more than our share with it.
      local fits = mode == 'any' or mine <= share
      local stream = not fits and stream_name(entry[2], max_entry)
      local r = stream and read_record(keys.leases, stream)
      if fits or (r and r.entry == id and live[r.owner]) then -- owned already: the share has no say
        if not grant(id, entry[2], 'new') then mine = mine - 1 end
      else
        to_pool(id, now_ms)
        mine, ring = mine - 1, true
      end
    end
  end
end

-- A dead consumer is forgotten only once nothing is pending for it: DELCONSUMER would destroy the rest.
local function forget(session)
  if #redis.call('XPENDING', keys.lbs, group, '-', '+', '1', session) > 0 then return end
  redis.call('XGROUP', 'DELCONSUMER', keys.lbs, group, session)
  redis.call('ZREM', keys.sessions, session)
  redis.call('HDEL', KEYS[3], session)
  redis.call('HDEL', KEYS[11], session)
  local name = string.match(session, '^(.-):')
  if name and redis.call('HGET', KEYS[10], name) == session then redis.call('HDEL', KEYS[10], name) end
end

-- 2. Streams of owners that are past their deadline.
if auto then
  for consumer, count in pairs(held) do
    if consumer ~= POOL and not live[consumer] then
      local left = count
      while room() and left > 0 do
        local rows = redis.call('XPENDING', keys.lbs, group, '-', '+', tostring(math.min(64, want - #grants)), consumer)
        if #rows == 0 then left = 0 end
        for _, row in ipairs(rows) do
          if not room() then break end
          local entry = redis.call('XCLAIM', keys.lbs, group, me, '0', row[1])[1]
          left, orphans = left - 1, orphans - 1
          if not entry or not entry[2] then
            redis.call('ZADD', keys.free, int(now_ms), row[1]) -- found gone below, with what waits behind it
          elseif grant(row[1], entry[2], 'takeover') then
            mine = mine + 1
          end
        end
      end
      if left <= 0 then forget(consumer) end
    end
  end
end
for _, session in ipairs(redis.call('ZRANGE', keys.sessions, '-inf', int(now_ms), 'BYSCORE')) do forget(session) end

-- 3. Free streams that are due. One that failed here rather goes to a peer for a while.
if room() then
  local due = redis.call('ZRANGE', keys.free, '-inf', int(now_ms), 'BYSCORE', 'LIMIT', '0', tostring(want - #grants + 64), 'WITHSCORES')
  for i = 1, #due, 2 do
    if not room() then break end
    local id = due[i]
    local entry = redis.call('XRANGE', keys.lbs, id, id)[1]
    if not entry then
      redis.call('XACK', keys.lbs, group, id)
      redis.call('ZREM', keys.free, id)
      make_way(id)
    else
      local avoid = false
      if mode == 'fair' and member_count > 1 and now_ms < tonumber(due[i + 1]) + avoid_ms then
        local stream = stream_name(entry[2], max_entry)
        local r = stream and read_record(keys.leases, stream)
        avoid = r and r.owner == 'retrying' and r.previous == me
      end
      if not avoid then
        redis.call('XCLAIM', keys.lbs, group, me, '0', id, 'FORCE', 'JUSTID')
        if grant(id, entry[2], 'free') then mine = mine + 1 end
      end
    end
  end
end

-- 4. New announcements, in growing gulps so that huge ones never pile up inside the script.
local gulp = 4
while room() do
  local most = math.min(gulp, want - #grants)
  if mode ~= 'any' then most = math.min(most, share - mine) end
  local reply = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', tostring(most), 'STREAMS', keys.lbs, '>')
  if not reply or #reply == 0 then
    new = 0
    break
  end
  local before = bytes
  for _, entry in ipairs(reply[1][2]) do
    new = new - 1
    if not entry[2] then
      redis.call('XACK', keys.lbs, group, entry[1])
    elseif grant(entry[1], entry[2], 'new') then
      mine = mine + 1
    end
  end
  gulp = bytes - before < 65536 and math.min(64, gulp * 2) or 4
end

if #grants > 0 then redis.call('SET', KEYS[8], int(epoch)) end
if ring then redis.pcall('PUBLISH', bell, 'free') end

local next_due, due_now = -1, 0
local first = redis.call('ZRANGE', keys.free, '0', '0', 'WITHSCORES')
if first[2] then
  next_due = math.max(0, tonumber(first[2]) - now_ms)
  if next_due == 0 then due_now = redis.call('ZCOUNT', keys.free, '-inf', int(now_ms)) end
end
return { 'OK', grants, rejects, { created and 1 or 0, mine, share, member_count, math.max(0, new), auto and orphans or 0,
  due_now, next_due, next_peer, total } }
