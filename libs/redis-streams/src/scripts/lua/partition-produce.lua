#!lua
-- Adds one producer's batch to the partitions of one shard. Sent again under its sequence it adds nothing and
-- answers what it answered then; a batch that has overtaken the one before it is sent back, so that order holds.
-- KEYS  1 the producer's last batches  2 dropped  3... partition streams of the shard that the batch touches
-- ARGV  1 sequence  2 sequence up to which the producer has settled everything
--       3 ms to remember the answers from now on, or 0: as long as was said last  4 the same for a record that is not there
--       5 max entries of a partition  6 reject | drop-oldest  7 how many arguments make a message: 2, or 3 with headers
--       8 which stream each message is for, counted from KEYS[3] as 0, two characters each: 64 to the digit, from '0' on
--       9... key, data and perhaps headers of each message; a key of \1 stands for none, empty headers for none
-- Reply 'LATE': older than what is remembered | 'GAP': the batch before it is yet to come
--       | words: the sequence, then per message an entry id, or FULL, or BAD: the partition's key holds no stream;
--       dropped messages follow as "!partition:n"
--@include int
--@include batch
local call, byte = redis.call, string.byte
local before = recall(KEYS[1], ARGV[1], ARGV[2], ARGV[4])
if before then return before end

local width = tonumber(ARGV[7])
local max, drop = tonumber(ARGV[5]), ARGV[6] == 'drop-oldest'
local places, rooms, drops, out, at = ARGV[8], {}, nil, { ARGV[1] }, 9
local BAD = -math.huge

-- Made where it is needed: its functions take longer than a lone message does.
local function trim(stream)
--@include position
--@include trim
  return trim_committed(stream, nil, true)
end

-- Room is asked once and counted down: within this script nobody else adds or removes. Trimming committed history
-- exactly costs a walk over a node, so it makes room for more than one.
local function room_in(stream)
  local length = redis.pcall('XLEN', stream)
  if type(length) == 'table' then return BAD end
  local room = max - length
  return room > 0 and room or room + trim(stream)
end

for i = 1, #places, 2 do
  local high, low = byte(places, i, i + 1)
  local s = high * 64 + low - 3117 -- 48 * 64 + 48 less the two keys before the streams and one, for Lua counts from it
  local stream = KEYS[s]
  local room = rooms[s] or room_in(stream)
  if room <= 0 and drop and room ~= BAD then
    local gone = call('XTRIM', stream, 'MAXLEN', '=', int(max - 1))
    drops = drops or {}
    drops[s], room = (drops[s] or 0) + gone, room + gone
  end
  if room <= 0 then
    out[#out + 1] = room == BAD and 'BAD' or 'FULL'
  else
    room = room - 1
    local key, data, headers = ARGV[at], ARGV[at + 1], width == 3 and ARGV[at + 2] or ''
    if headers ~= '' then
      if key == '\1' then
        out[#out + 1] = call('XADD', stream, '*', 'data', data, 'headers', headers)
      else
        out[#out + 1] = call('XADD', stream, '*', 'key', key, 'data', data, 'headers', headers)
      end
    elseif key == '\1' then
      out[#out + 1] = call('XADD', stream, '*', 'data', data)
    else
      out[#out + 1] = call('XADD', stream, '*', 'key', key, 'data', data)
    end
  end
  rooms[s] = room
  at = at + width
end
for s, dropped in pairs(drops or {}) do
  local partition = string.match(KEYS[s], '%d+$')
  call('HINCRBY', KEYS[2], partition, int(dropped))
  out[#out + 1] = '!' .. partition .. ':' .. int(dropped)
end
return remember(KEYS[1], ARGV[1], table.concat(out, ' '), ARGV[3], ARGV[4])
