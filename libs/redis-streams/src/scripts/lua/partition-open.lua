#!lua flags=allow-oom
-- A new owner takes its partition up: from here on only its commits are accepted, and it learns where to go on.
-- KEYS  1 partition stream  2 positions  3 dropped
-- ARGV  1 group  2 partition  3 epoch  4 1 when the previous owner died  5 where a new group starts: an id, or '$'
--       6 how many entries from the first one up to that id, or -1  7 the id of the first entry, as counted
-- Reply {'FENCED', the epoch that is higher} | {'COUNT'}: the group is new and begins amidst entries, count them |
--       {'OK', watermark, entries read or -1, done ids, failures (as a commit says them), losses, mark, mark crashes, dropped so far, behind or -1,
--        the last id of the stream}
--@include clock
--@include position
--@include delays
local stream, group, partition, epoch = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local p = read_position(redis.call('HGET', KEYS[2], partition))
if tonumber(p.epoch) > tonumber(epoch) then return { 'FENCED', p.epoch } end

local row = group_of(stream, group)
if not row then
  if not create_group(stream, group, ARGV[5], tonumber(ARGV[6]), ARGV[7]) then return { 'COUNT' } end
  row = group_of(stream, group)
end

if id_after(row['last-delivered-id'], stream_info(stream)['last-generated-id']) then
  restart_group(stream, group)
  row = group_of(stream, group)
  p.done, p.failures = '', ''
end
local watermark = row['last-delivered-id']
if p.epoch ~= epoch then
  local _, ahead = string.gsub(p.done, '%S+', '')
  local at = watermark .. '/' .. ahead
  local behind = id_after(stream_info(stream)['last-generated-id'], watermark)
  if ARGV[4] ~= '1' or not behind then -- ended well, or had nothing to do: no message is under suspicion
    p.losses, p.lost_at, p.mark, p.mark_crashes = 0, '-', '-', 0
  else
    p.losses = p.lost_at == at and p.losses + 1 or 1
    p.lost_at = at
    -- Every commit says which message runs alone: only an owner that has committed can have written this one.
    if p.mark ~= '-' and p.sequence > 0 then p.mark_crashes = p.mark_crashes + 1 end
  end
  p.epoch, p.sequence = epoch, 0
  redis.call('HSET', KEYS[2], partition, write_position(p))
end
return { 'OK', watermark, row['entries-read'] or -1, p.done, left_of(p.failures), p.losses, p.mark, p.mark_crashes,
  redis.call('HGET', KEYS[3], partition) or '0', row['lag'] or -1,
  stream_info(stream)['last-generated-id'] }
