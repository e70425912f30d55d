#!lua
-- Adds one producer's batch to the partitions of one shard. Sent again under its sequence it adds nothing and
-- answers what it answered then; a batch that has overtaken the one before it is sent back, so that order holds.
-- KEYS  1 the producer's last batches  2 dropped  3... partition streams of the shard that the batch touches
-- ARGV  1 sequence  2 ms to remember the answers  3 max entries of a partition  4 reject | drop-oldest
--       5 sequence up to which the producer has settled everything  6 1 when messages have headers, else 0
--       7... per stream: its partition number, and its messages in one text, "key TAB data LF" or "key TAB data TAB
--       headers LF" for each. One argument for many, because the client pays by the argument; a key of \1 stands for none
-- Reply {'OK', answers} | {'LATE'}: older than what is remembered | {'GAP'}: the batch before it is yet to come
--       answers: per message, stream by stream, an entry id, or FULL, or BAD: the partition's key holds no stream;
--       dropped messages follow as "!partition:n"
--@include clock
--@include position
--@include trim
local sequence = tonumber(ARGV[1])
local known = redis.call('HMGET', KEYS[1], ARGV[1], 'last')
if known[1] then return { 'OK', known[1] } end
local last = math.max(tonumber(known[2] or '0'), tonumber(ARGV[5]))
if sequence <= last then return { 'LATE' } end
if sequence > last + 1 then return { 'GAP' } end
local max, drop, with_headers = tonumber(ARGV[3]), ARGV[4] == 'drop-oldest', ARGV[6] == '1'
local call, find, sub = redis.call, string.find, string.sub
local out, count, notes = {}, 0, {}

for s = 3, #KEYS do
  local stream, partition, batch, at, dropped = KEYS[s], ARGV[s * 2 + 1], ARGV[s * 2 + 2], 1, 0
  -- Room is asked once and counted down: within this script nobody else adds or removes. Trimming committed history
  -- exactly costs a walk over a node, so it makes room for more than one.
  local length = redis.pcall('XLEN', stream)
  local bad = type(length) == 'table'
  local room = bad and 0 or max - length
  if room <= 0 and not bad then room = room + trim_committed(stream, 0, true) end
  while at <= #batch do
    local tab = find(batch, '\t', at, true)
    local last = find(batch, '\n', tab + 1, true)
    local tab2 = with_headers and find(batch, '\t', tab + 1, true) or last
    if room <= 0 and drop and not bad then
      local gone = call('XTRIM', stream, 'MAXLEN', '=', int(max - 1))
      dropped, room = dropped + gone, room + gone
    end
    count = count + 1
    if room <= 0 then
      out[count] = bad and 'BAD' or 'FULL'
    else
      room = room - 1
      local key, data = sub(batch, at, tab - 1), sub(batch, tab + 1, tab2 - 1)
      if tab2 < last - 1 then
        local headers = sub(batch, tab2 + 1, last - 1)
        if key == '\1' then
          out[count] = call('XADD', stream, '*', 'data', data, 'headers', headers)
        else
          out[count] = call('XADD', stream, '*', 'key', key, 'data', data, 'headers', headers)
        end
      elseif key == '\1' then
        out[count] = call('XADD', stream, '*', 'data', data)
      else
        out[count] = call('XADD', stream, '*', 'key', key, 'data', data)
      end
    end
    at = last + 1
  end
  if dropped > 0 then
    call('HINCRBY', KEYS[2], partition, int(dropped))
    notes[#notes + 1] = '!' .. partition .. ':' .. int(dropped)
  end
end
for _, note in ipairs(notes) do out[#out + 1] = note end
local answers = table.concat(out, ' ')
call('HSET', KEYS[1], ARGV[1], answers, 'last', ARGV[1])
call('HDEL', KEYS[1], int(sequence - 4))
call('PEXPIRE', KEYS[1], ARGV[2])
return { 'OK', answers }
