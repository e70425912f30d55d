#!lua
-- Adds one producer's batch to the partitions of one shard. Sent again under its sequence it adds nothing and
-- answers what it answered then; a batch that has overtaken the one before it is sent back, so that order holds.
-- KEYS  1 the producer's last batches  2 dropped  3... partition streams of the shard that the batch touches
-- ARGV  1 sequence  2 ms to remember the answers  3 max entries of a partition  4 reject | drop-oldest
--       5 sequence up to which the producer has settled everything  6 how many streams  7... partition number per stream
--       then per message: index of its stream (1...), key, data, headers or ''; a key of a message without one is '\0'
-- Reply {'OK', answers} | {'LATE'}: older than what is remembered | {'GAP'}: the batch before it is yet to come
--       answers: per message an entry id, or FULL; dropped messages follow as "!partition:n"
--@include clock
--@include position
--@include trim
local sequence = tonumber(ARGV[1])
local known = redis.call('HMGET', KEYS[1], ARGV[1], 'last')
if known[1] then return { 'OK', known[1] } end
local last = math.max(tonumber(known[2] or '0'), tonumber(ARGV[5]))
if sequence <= last then return { 'LATE' } end
if sequence > last + 1 then return { 'GAP' } end
local max, drop, streams = tonumber(ARGV[3]), ARGV[4] == 'drop-oldest', tonumber(ARGV[6])

-- Room per stream, asked once and counted down: within this script nobody else adds or removes.
local room, dropped = {}, {}
local function room_of(s, stream)
  if not room[s] then
    local length = redis.call('XLEN', stream)
    -- Trimming committed history exactly costs a walk over a node, so it makes room for more than one.
    if length >= max then length = length - trim_committed(stream, 0, true) end
    room[s] = max - length
  end
  return room[s]
end

local out = {}
for i = 7 + streams, #ARGV, 4 do
  local s = tonumber(ARGV[i])
  local stream = KEYS[s + 2]
  if room_of(s, stream) <= 0 and drop then
    local gone = redis.call('XTRIM', stream, 'MAXLEN', '=', int(max - 1))
    dropped[s] = (dropped[s] or 0) + gone
    room[s] = room[s] + gone
  end
  if room[s] <= 0 then
    out[#out + 1] = 'FULL'
  else
    room[s] = room[s] - 1
    local key, headers = ARGV[i + 1], ARGV[i + 3]
    if headers ~= '' then
      if key == '\0' then
        out[#out + 1] = redis.call('XADD', stream, '*', 'data', ARGV[i + 2], 'headers', headers)
      else
        out[#out + 1] = redis.call('XADD', stream, '*', 'key', key, 'data', ARGV[i + 2], 'headers', headers)
      end
    elseif key == '\0' then
      out[#out + 1] = redis.call('XADD', stream, '*', 'data', ARGV[i + 2])
    else
      out[#out + 1] = redis.call('XADD', stream, '*', 'key', key, 'data', ARGV[i + 2])
    end
  end
end
for s, count in pairs(dropped) do
  redis.call('HINCRBY', KEYS[2], ARGV[6 + s], int(count))
  out[#out + 1] = '!' .. ARGV[6 + s] .. ':' .. int(count)
end
local answers = table.concat(out, ' ')
redis.call('HSET', KEYS[1], ARGV[1], answers, 'last', ARGV[1])
redis.call('HDEL', KEYS[1], int(sequence - 4))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { 'OK', answers }
