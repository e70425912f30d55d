#!lua
-- Adds one producer's batch to the partitions of one shard. Sent again under its sequence it adds nothing and
-- answers what it answered then.
-- KEYS  1 the producer's last batch  2 dropped  3... partition streams of the shard that the batch touches
-- ARGV  1 sequence  2 ms to remember the answers  3 max entries of a partition  4 reject | drop-oldest
--       5 how many streams  6... partition number per stream
--       then per message: index of its stream (1...), key, data, headers or ''; a key of a message without one is '\0'
-- Reply {'OK', answers} | {'LATE'}; answers: per message an entry id, or FULL; dropped messages follow as "!partition n"
--@include clock
--@include position
--@include trim
local last = redis.call('GET', KEYS[1])
if last then
  local sequence, answers = string.match(last, '^(%d+) (.*)$')
  if sequence == ARGV[1] then return { 'OK', answers } end
  if tonumber(sequence) > tonumber(ARGV[1]) then return { 'LATE' } end
end
local max, drop, streams = tonumber(ARGV[3]), ARGV[4] == 'drop-oldest', tonumber(ARGV[5])

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
for i = 6 + streams, #ARGV, 4 do
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
  redis.call('HINCRBY', KEYS[2], ARGV[5 + s], int(count))
  out[#out + 1] = '!' .. ARGV[5 + s] .. ':' .. int(count)
end
local answers = table.concat(out, ' ')
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. answers, 'PX', ARGV[2])
return { 'OK', answers }
