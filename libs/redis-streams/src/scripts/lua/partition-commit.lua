#!lua flags=allow-oom
-- Records the progress of some partitions of one shard, each fenced by its owner's epoch. Sent again, or overtaken by a
-- later one, a commit changes nothing. The native group's position is the watermark: what XINFO GROUPS shows is true.
-- KEYS  1 positions  2 dead letters  3 dropped  4... partition streams
-- ARGV  1 group  2 ms to keep committed entries, then per stream:
--       partition, epoch, sequence, watermark, entries read or -1, dropped known, done ids, failures ("id=failures" or
--       "id=failures=ms until the next attempt"), message running alone or '-', deaths of its process,
--       flags (t: trim, l: answer how far behind), how many dead letters,
--       per dead letter: id, how many texts, fields and values of the dead letter
-- Reply per stream: 'OK' | 'FENCED' | {how far behind or -1, entries read or -1, dropped so far}: asked for, or the
--       owner's count was wrong
--@include clock
--@include position
--@include delays
--@include trim
local group, keep_ms = ARGV[1], tonumber(ARGV[2])
local reply, at = {}, 3

local function lists(ids, id)
  return string.find(' ' .. ids .. ' ', ' ' .. id .. ' ', 1, true) ~= nil
end

-- A partition deleted by hand, or its group destroyed, comes back where this owner is. Answers what the owner may count
-- on from there: what it said, or what is known at the end, or -1. Before the first entry the count is right for this
-- moment only, because the owner has yet to pass entries of its window that are there no more. Answers nil when the stream
-- ends before `id`: a failover or a restart has lost its tail, and what was sent since may have lower ids.
local function set_position(stream, id, read)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  if info.err or not group_of(stream, group) then
    redis.call('XGROUP', 'CREATE', stream, group, id, 'MKSTREAM')
    read = '-1'
  elseif id_after(id, stream_info(stream)['last-generated-id']) then
    return nil
  end
  info = stream_info(stream)
  local at_end = not id_after(info['last-generated-id'], id)
  local set = read
  if read == '-1' or tonumber(read) > info['entries-added'] or at_end then
    set = int(read_at(info, id) or -1)
    read = at_end and set or '-1'
  end
  redis.call('XGROUP', 'SETID', stream, group, id, 'ENTRIESREAD', set)
  return read
end

for s = 4, #KEYS do
  local stream, partition, epoch, sequence = KEYS[s], ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local watermark, read, dropped, done = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local flags, letters = ARGV[at + 10], tonumber(ARGV[at + 11])
  local failures, mark, crashes = due_at(ARGV[at + 7]), ARGV[at + 8], ARGV[at + 9]
  at = at + 12
  local raw = redis.call('HGET', KEYS[1], partition)
  local p = read_position(raw)
  local answer, counted = 'OK', read
  if p.epoch ~= epoch then answer = 'FENCED' end
  local apply = p.epoch == epoch and sequence > p.sequence -- else it was applied before, or a later one was
  for _ = 1, letters do
    local id, count = ARGV[at], tonumber(ARGV[at + 1])
    if apply and not lists(p.done, id) then
      local args = { KEYS[2], '*' }
      for i = at + 2, at + 1 + count do args[#args + 1] = ARGV[i] end
      args[#args + 1] = 'at'
      args[#args + 1] = int(now_ms)
      redis.call('XADD', unpack(args))
    end
    at = at + 2 + count
  end
  if apply then
    -- Messages dropped unread are not in the owner's count: unknown until it can be told.
    local dropped_now = dropped ~= '-' and redis.call('HGET', KEYS[3], partition) or '0'
    local told = dropped ~= '-' and dropped_now ~= dropped and '-1' or read
    -- The quick way is the common one; the sampled commit, once a second, looks twice.
    counted = told
    if told == '-1' or string.find(flags, 'l', 1, true) then
      counted = set_position(stream, watermark, told)
    elseif redis.pcall('XGROUP', 'SETID', stream, group, watermark, 'ENTRIESREAD', told).err then
      counted = set_position(stream, watermark, told)
    end
    if not counted then
      -- From the beginning: what is kept may come twice, but nothing is lost. The owner takes it up anew.
      answer, done, failures, mark, crashes = 'FENCED', '', '', '-', '0'
      restart_group(stream, group)
    elseif counted ~= read then
      answer = { -1, tonumber(counted), dropped_now }
    end
    p.sequence, p.done, p.failures, p.mark, p.mark_crashes = sequence, done, failures, mark, tonumber(crashes)
    redis.call('HSET', KEYS[1], partition, write_position(p))
    if string.find(flags, 't', 1, true) then trim_committed(stream, keep_ms > 0 and int(now_ms - keep_ms) .. '-0', false) end
  end
  if answer ~= 'FENCED' and string.find(flags, 'l', 1, true) then
    local row = group_of(stream, group)
    answer = { row and row['lag'] or -1, tonumber(counted), dropped ~= '-' and redis.call('HGET', KEYS[3], partition) or '0' }
  end
  reply[#reply + 1] = answer
end
return reply
