#!lua
-- Adds one producer's batch to one shard of a queue. Sent again under its number it adds nothing and answers what it
-- answered then; a batch that has overtaken the one before it is sent back, so that order holds.
-- KEYS  1 the producer's last batches  2 messages  3 delayed  4 ids  5 origins
-- ARGV  1 sequence  2 sequence up to which the producer has settled everything
--       3 ms to remember the answers from now on, or 0: as long as was said last  4 the same for a record that is not there
--       5 how many arguments make a message: 1 its data, or 5: key, headers, id, ms of delay, data; empty: none
--       6 ms for which another message of an id is a duplicate, or 0: none is  7 producer  8 bell
--       9... the messages
-- Reply 'LATE': older than what is remembered | 'GAP': the batch before it is yet to come
--       | words: the sequence, then the first message's entry id and '+', where all are stored and their ids follow each other;
--       else per message its entry id; of a delayed one the name under which it waits; of a duplicate '=' and what the first
--       of its id was answered; of one that is not stored, because the stream has run out of ids, '-'
--@include batch
local call = redis.call
local before = recall(KEYS[1], ARGV[1], ARGV[2], ARGV[4])
if before then return before end

-- A lone message: what is made for others takes longer than it.
if #ARGV == 9 and ARGV[5] == '1' then
  return remember(KEYS[1], ARGV[1], ARGV[1] .. ' ' .. call('XADD', KEYS[2], '*', 'data', ARGV[9]), ARGV[3], ARGV[4])
end

local messages, width = KEYS[2], ARGV[5] == '1' and 1 or 5
-- Where it may fail when others of the batch are stored: redis.pcall, and each is answered for itself.
local add_call = call

local function xadd(at, key, headers, id, data)
  if id == '' and key == '' then
    if headers == '' then return add_call('XADD', messages, at, 'data', data) end
    return add_call('XADD', messages, at, 'data', data, 'headers', headers)
  end
  local entry = { 'XADD', messages, at, 'data', data }
  if key ~= '' then entry[6], entry[7] = 'key', key end
  if headers ~= '' then entry[#entry + 1], entry[#entry + 2] = 'headers', headers end
  if id ~= '' then entry[#entry + 1], entry[#entry + 2] = 'id', id end
  return add_call(unpack(entry))
end

-- Messages that are neither to be told apart nor to be kept back, such as requests, which somebody waits for: no clock is asked.
local plain = true
if width == 5 then
  for i = 9, #ARGV, 5 do plain = plain and ARGV[i + 2] == '' and ARGV[i + 3] == '' end
end
if plain then
  local function add(at, i)
    if width == 1 then return add_call('XADD', messages, at, 'data', ARGV[i]) end
    return xadd(at, ARGV[i], ARGV[i + 1], '', ARGV[i + 4])
  end
  -- All of the first one's millisecond, whatever the time has become: then its id says them all. Not where somebody has set
  -- the stream to where numbers end, nor where the server, older than 7.0, has no ids of a given millisecond.
  local first, count = add('*', 9), (#ARGV - 8) / width
  if count == 1 then return remember(KEYS[1], ARGV[1], ARGV[1] .. ' ' .. first, ARGV[3], ARGV[4]) end
  local ms, number = string.match(first, '^(%d+%-)(%d+)$')
  local at, last = #number < 16 and redis.REDIS_VERSION_NUM and ms .. '*' or '*', first
  if at == '*' then add_call = redis.pcall end
  if width == 1 then
    for i = 10, #ARGV do last = add_call('XADD', messages, at, 'data', ARGV[i]) end
  else
    for i = 14, #ARGV, 5 do last = add(at, i) end
  end
  local answers = ARGV[1] .. ' ' .. first .. '+'
  if at == '*' or last ~= ms .. string.format('%.0f', number + count - 1) then
    local words = { ARGV[1] }
    local entries = call('XRANGE', messages, first, '+', 'COUNT', string.format('%d', count))
    for i = 1, count do words[i + 1] = entries[i] and entries[i][1] or '-' end
    answers = table.concat(words, ' ')
  end
  return remember(KEYS[1], ARGV[1], answers, ARGV[3], ARGV[4])
end

--@include clock
-- A key of another type ends the script here, while nothing is written: part of a batch would be stored, and all of it refused.
call('XLEN', messages)
call('ZCARD', KEYS[3])
call('ZCARD', KEYS[4])
call('HGET', KEYS[5], '')
add_call = redis.pcall
local dedupe_ms = tonumber(ARGV[6])
local out, first_due, has_ids = { ARGV[1] }

-- What its first one was answered, if this is a duplicate.
local function original(name)
  local until_ms = call('ZSCORE', KEYS[4], name)
  return until_ms and tonumber(until_ms) > now_ms and (call('HGET', KEYS[5], name) or '-')
end

for i = 9, #ARGV, 5 do
  local key, headers, id, delay, data = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local unique = id ~= '' and dedupe_ms > 0
  -- The key decides the shard. Were it left out here, which keys share an id's messages would be for the number of shards to say.
  local name = key == '' and id or key .. '\n' .. id
  local origin = unique and original(name)
  local answer
  if origin then
    answer = '=' .. origin
  elseif delay ~= '' then
    local due = now_ms + tonumber(delay)
    answer = ARGV[7] .. '.' .. ARGV[1] .. '.' .. int((i - 4) / 5)
    call('ZADD', KEYS[3], int(due), answer .. ' ' .. #key .. ' ' .. #headers .. ' ' .. #id .. '\n' .. key .. headers .. id .. data)
    if not first_due or due < first_due then first_due = due end
  else
    answer = xadd('*', key, headers, id, data)
    if type(answer) == 'table' then answer = '-' end
  end
  if unique and not origin and answer ~= '-' then
    has_ids = true
    call('ZADD', KEYS[4], int(now_ms + dedupe_ms), name)
    call('HSET', KEYS[5], name, answer)
  end
  out[#out + 1] = answer
end

if has_ids then
  -- More than came in, so that what is over never piles up; and not so many that this call is felt.
  local over = call('ZRANGE', KEYS[4], '-inf', int(now_ms), 'BYSCORE', 'LIMIT', '0', int(16 + 2 * #out))
  if #over > 0 then
    call('ZREM', KEYS[4], unpack(over))
    call('HDEL', KEYS[5], unpack(over))
  end
  call('PEXPIRE', KEYS[4], int(dedupe_ms + 1000))
  call('PEXPIRE', KEYS[5], int(dedupe_ms + 1000))
end
-- Consumers sleep until what is due first: told when that is sooner now.
if first_due and tonumber(call('ZRANGE', KEYS[3], '0', '0', 'WITHSCORES')[2]) >= first_due then
  redis.pcall('PUBLISH', ARGV[8], 'due ' .. int(first_due - now_ms))
end
return remember(KEYS[1], ARGV[1], table.concat(out, ' '), ARGV[3], ARGV[4])
