#!lua flags=allow-oom
-- Makes a consumer group on partitions that lack it, before anything else of it happens: from here on nothing is trimmed
-- that it has not committed.
-- KEYS  1... partition streams of one shard
-- ARGV  1 group  2 where it starts: an id, or '$'  3 how many entries from the first one up to that id, or -1
--       4 the id of the first entry, as counted (3 and 4 are of the only stream)
-- Reply per stream: 'OK' | 'COUNT': the group begins amidst entries, count them | 'BAD': the key holds no stream
--@include clock
--@include position
local reply = {}
for i, stream in ipairs(KEYS) do
  local kind = redis.call('TYPE', stream)['ok']
  if kind ~= 'none' and kind ~= 'stream' then
    reply[i] = 'BAD'
  elseif group_of(stream, ARGV[1]) or create_group(stream, ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]) then
    reply[i] = 'OK'
  else
    reply[i] = 'COUNT'
  end
end
return reply
