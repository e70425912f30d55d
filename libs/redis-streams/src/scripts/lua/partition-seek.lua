#!lua flags=allow-oom
-- Moves a group's position in one partition. Its owner is fenced off, so that no commit of its own moves it back.
-- KEYS  1 partition stream  2 positions
-- ARGV  1 group  2 partition  3 id after which to go on, or 'earliest', or 'latest'
--       4 how many entries from the first one up to that id, or -1  5 the id of the first entry, as counted; '-': uncounted
-- Reply {'OK', id} | {'MOVED'}: entries were trimmed meanwhile, count again
--@include clock
--@include position
local stream, group, partition = KEYS[1], ARGV[1], ARGV[2]
if not group_of(stream, group) then redis.call('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM') end
local info = stream_info(stream)
local gone = info['entries-added'] - info['length']
local id, read = ARGV[3], nil
if id == 'earliest' then
  id, read = '0-0', gone
elseif id == 'latest' or not id_after(info['last-generated-id'], id) then -- what is not there yet cannot be skipped
  id, read = info['last-generated-id'], info['entries-added']
else
  local first = info['first-entry'] and info['first-entry'][1] or ''
  if ARGV[5] ~= '-' and first ~= ARGV[5] then return { 'MOVED' } end
  read = ARGV[5] == '-' and -1 or gone + tonumber(ARGV[4])
end
redis.call('XGROUP', 'SETID', stream, group, id, 'ENTRIESREAD', int(read))
local p = read_position(redis.call('HGET', KEYS[2], partition))
p.epoch = int(math.max(tonumber(p.epoch) + 1, now_us))
p.sequence, p.losses, p.lost_at, p.mark, p.mark_crashes, p.done, p.failures = 0, 0, '-', '-', 0, '', ''
redis.call('HSET', KEYS[2], partition, write_position(p))
return { 'OK', id }
