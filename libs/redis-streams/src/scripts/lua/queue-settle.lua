#!lua flags=allow-oom
-- Takes what became of messages that a session was given. A session past its deadline is refused: what it held is, or
-- will be, somebody else's. Sent again it changes nothing more.
-- KEYS  1 messages  2 sessions  3 retries  4 attempts  5 dead
-- ARGV  1 session  2 group  3 bell  4 how many are done  5 how many of these, from the first on, have a record of attempts
--       6 how many are to be delivered again  7 how many are given up
--       8... ids of those that are done; then of each to be delivered again: id, record of attempts, or '', or
--       # and how often it was given to somebody when it was found with the session, delay in ms;
--       then of each given up: id, number of texts, and so many texts: fields of the dead letter
-- Reply 'LOST' | ms until the earliest of the retries, or -1
--@include clock
--@include queue
local messages, session, group, bell = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if not live(KEYS[2], session) then return 'LOST' end
local done, known, again, given_up = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local at = 8
local ids = {}
for i = 1, done do ids[i] = ARGV[at + i - 1] end
for from = 1, known, 4000 do
  redis.call('HDEL', KEYS[4], unpack(ids, from, math.min(known, from + 3999)))
end
at = at + done

local before = redis.call('ZRANGE', KEYS[3], '0', '0', 'WITHSCORES')[2]
for _ = 1, again do
  local id, record, delay = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3
  -- A record that is there already was said before, and the answer was lost: it may have been taken again since.
  local deliveries = string.match(record, '^#(%d+)$')
  local known, stored
  if deliveries then
    local row = redis.pcall('XPENDING', messages, group, id, id, '1')
    known = row.err or not row[1] or row[1][4] ~= tonumber(deliveries)
    record = ''
  else
    stored = record ~= '' and redis.call('HGET', KEYS[4], id)
    known = stored == record
  end
  if not known and holds(messages, group, session, id) then
    redis.call('XCLAIM', messages, group, POOL, '0', id, 'JUSTID')
    if record ~= '' then redis.call('HSET', KEYS[4], id, record) end
    redis.call('ZADD', KEYS[3], int(now_ms + delay), id)
  elseif stored and attempts_of(stored) < attempts_of(record) then
    redis.call('HDEL', KEYS[4], id) -- a hand had it given to another, who counts anew, or had it deleted
  end
end

for _ = 1, given_up do
  local id, texts = ARGV[at], tonumber(ARGV[at + 1])
  if holds(messages, group, session, id) then
    local letter = { KEYS[5], '*' }
    for i = 1, texts do letter[i + 2] = ARGV[at + 1 + i] end
    redis.call('XADD', unpack(letter))
    ids[#ids + 1] = id
  end
  redis.call('HDEL', KEYS[4], id)
  at = at + 2 + texts
end

if #ids > 0 then settle(messages, group, ids) end
local first = redis.call('ZRANGE', KEYS[3], '0', '0', 'WITHSCORES')[2]
if not first then return -1 end
local due = math.max(0, tonumber(first) - now_ms)
-- Others have timers for what was due before; only what is due earlier is news to them.
if again > 0 and (not before or tonumber(first) < tonumber(before)) then redis.pcall('PUBLISH', bell, 'due ' .. int(due)) end
return due
