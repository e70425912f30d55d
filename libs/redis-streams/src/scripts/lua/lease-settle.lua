#!lua flags=allow-oom
-- Applies one session's settle operations in order, each fenced by its token. Sending a batch again (same
-- sequence) applies nothing twice and answers what it answered then.
-- KEYS  1 lbs  2 sessions  3 leases  4 checkpoints  5 free  6 follow-ups  7 dead  8 settled  9 epoch
-- ARGV  1 session  2 group  3 bell  4 sequence  5... five per operation: op, stream, token, a, b
--       op done: a, b unused · checkpoint: a = entry id · release: unused · retry: a = delay ms, b = error text
--       dead: a = reason, b = error text · raise: unused; a token above all of now for a lease granted before
-- Reply {'LOST'} | {'LATE'} | {'OK', status per operation...}; status OK | FENCED | the new token
--       LATE: older than the last batch; its sender gave it up, sent it again, and no longer listens
--@include clock
--@include record
--@include finish
local me, group, bell, sequence = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local keys = { lbs = KEYS[1], leases = KEYS[3], checkpoints = KEYS[4], free = KEYS[5], follow_ups = KEYS[6], dead = KEYS[7] }

local last = redis.call('HGET', KEYS[8], me)
if last then
  local seq, answers = string.match(last, '^(%d+) (.*)$')
  if seq == sequence then
    local reply = { 'OK' }
    for status in string.gmatch(answers, '%S+') do reply[#reply + 1] = status end
    return reply
  end
  if tonumber(seq) > tonumber(sequence) then return { 'LATE' } end
end
local deadline = redis.call('ZSCORE', KEYS[2], me)
if not deadline or tonumber(deadline) <= now_ms then return { 'LOST' } end

-- All of it or nothing: applied to where a foreign key stands in the way, it would be refused when it is sent again.
-- Asked by commands that are used anyway, so that users with narrow ACLs need no other.
for key, probe in pairs({ [keys.lbs] = 'XRANGE', [keys.leases] = 'HGET', [keys.checkpoints] = 'HGET', [keys.free] = 'ZSCORE',
  [keys.follow_ups] = 'HGET', [keys.dead] = 'XRANGE', [KEYS[9]] = 'GET' }) do
  local found
  if probe == 'XRANGE' then found = redis.pcall(probe, key, '0-1', '0-1')
  elseif probe == 'GET' then found = redis.pcall(probe, key)
  else found = redis.pcall(probe, key, '-') end
  -- What a dead letter ends with: refused behind it, each try would leave another one.
  if key == keys.lbs and not found.err then found = redis.pcall('XDEL', key, '0-1') end
  if type(found) == 'table' and found.err then return redis.error_reply(found.err .. ' (' .. key .. ')') end
end

local function id_after(a, b)
  local a1, a2 = string.match(a, '^(%d+)-(%d+)$')
  local b1, b2 = string.match(b, '^(%d+)-(%d+)$')
  if not a1 or not b1 then return a ~= b end
  a1, a2, b1, b2 = tonumber(a1), tonumber(a2), tonumber(b1), tonumber(b2)
  return a1 > b1 or (a1 == b1 and a2 > b2)
end

local ring = false
local function to_pool(stream, r, state, due)
  -- pcall: without its group the entry is read again as new, and the record says what became of it
  redis.pcall('XCLAIM', keys.lbs, group, POOL, '0', r.entry, 'FORCE', 'JUSTID')
  redis.call('ZADD', keys.free, int(due), r.entry)
  r.owner, r.previous, r.since = state, me, int(now_ms)
  write_record(keys.leases, stream, r)
end

local operations = {}
operations['done'] = function(stream, r)
  if finish(keys, group, stream, r.entry) then ring = true end
end
operations['checkpoint'] = function(stream, r, id)
  local before = redis.call('HGET', keys.checkpoints, stream)
  redis.call('HSET', keys.checkpoints, stream, id)
  if r.failures + r.takeovers > 0 and (not before or id_after(id, before)) then -- progress: no longer in a row
    r.failures, r.takeovers = 0, 0
    write_record(keys.leases, stream, r)
  end
end
operations['release'] = function(stream, r)
  r.attempt = r.attempt - 1 -- a stream given back was not attempted
  to_pool(stream, r, 'released', now_ms)
  ring = true
end
operations['retry'] = function(stream, r, delay)
  r.failures = r.failures + 1
  to_pool(stream, r, 'retrying', now_ms + tonumber(delay))
  ring = true
end
operations['dead'] = function(stream, r, reason, text)
  if reason == 'max-attempts' then r.failures = r.failures + 1 end
  local entry = redis.call('XRANGE', keys.lbs, r.entry, r.entry)[1]
  dead_letter(keys, entry and entry[2], { 'reason', reason, 'error', text, 'stream', stream, 'entryId', r.entry,
    'attempts', int(r.attempt), 'failures', int(r.failures), 'owner', me, 'token', r.token,
    'checkpoint', redis.call('HGET', keys.checkpoints, stream) or '', 'at', int(now_ms) })
  if finish(keys, group, stream, r.entry) then ring = true end
end
operations['raise'] = function(stream, r)
  r.token = int(math.max(tonumber(redis.call('GET', KEYS[9]) or '0') + 1, now_us))
  redis.call('SET', KEYS[9], r.token)
  write_record(keys.leases, stream, r)
  return r.token
end

local reply, answers = { 'OK' }, {}
for i = 5, #ARGV, 5 do
  local stream, token = ARGV[i + 1], ARGV[i + 2]
  local r = read_record(keys.leases, stream)
  local status = 'FENCED'
  if r and r.token == token and r.owner == me then
    status = operations[ARGV[i]](stream, r, ARGV[i + 3], ARGV[i + 4]) or 'OK'
  end
  reply[#reply + 1] = status
  answers[#answers + 1] = status
end
redis.call('HSET', KEYS[8], me, sequence .. ' ' .. table.concat(answers, ' '))
if ring then redis.pcall('PUBLISH', bell, 'free') end
return reply
