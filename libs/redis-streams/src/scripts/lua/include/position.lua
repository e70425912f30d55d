--@include ids
-- A partition's state for one group, as one text: "epoch sequence losses lostAt mark markCrashes|done ids|failures".
--   epoch        fencing token of the owner whose commits are accepted; sequence: its last commit
--   losses       owners in a row that died here without any progress; lostAt: where
--   mark         message that runs alone because of that, or -; markCrashes: deaths of its process while it did
--   done         finished beyond the watermark; the watermark itself is the native group's last delivered id
--   failures     of unfinished ones: "id=failures", or "id=failures=server ms at which the next attempt is due"
local function read_position(raw)
  if not raw then return { epoch = '0', sequence = 0, losses = 0, lost_at = '-', mark = '-', mark_crashes = 0, done = '', failures = '' } end
  local epoch, sequence, losses, lost_at, mark, crashes, done, failures =
    string.match(raw, '^(%d+) (%d+) (%d+) (%S+) (%S+) (%d+)|([^|]*)|([^|]*)$')
  return { epoch = epoch, sequence = tonumber(sequence), losses = tonumber(losses), lost_at = lost_at, mark = mark,
    mark_crashes = tonumber(crashes), done = done, failures = failures }
end

local function write_position(p)
  return p.epoch .. ' ' .. int(p.sequence) .. ' ' .. int(p.losses) .. ' ' .. p.lost_at .. ' ' .. p.mark .. ' ' ..
    int(p.mark_crashes) .. '|' .. p.done .. '|' .. p.failures
end

-- The native group: {last delivered id, entries read or false, pending, lag or false}, or nil when there is none.
local function group_of(stream, group)
  local infos = redis.pcall('XINFO', 'GROUPS', stream)
  if infos.err then return nil end
  for _, info in ipairs(infos) do
    local row = {}
    for i = 1, #info, 2 do row[info[i]] = info[i + 1] end
    if row['name'] == group then return row end
  end
  return nil
end

local function stream_info(stream)
  local row, info = {}, redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do row[info[i]] = info[i + 1] end
  return row
end

-- Entries read by a group that stands at `at`, where it can be told: at the end, or before the first entry. Else nil.
local function read_at(info, at)
  if info['length'] == 0 or not id_after(info['last-generated-id'], at) then return info['entries-added'] end
  if id_after(info['first-entry'][1], at) then return info['entries-added'] - info['length'] end
  return nil
end

-- Makes a group that begins after `from` ('$': with what is sent from now on). Answers false when it begins amidst
-- entries and `counted` is not how many there are from the first one, `first`, up to there. '-' for the first: they
-- change faster than they can be counted, so the count is unknown until the group stands at the end.
local function create_group(stream, group, from, counted, first)
  local at, read = from, 0
  if redis.pcall('XINFO', 'STREAM', stream).err then
    if at == '$' then at = '0-0' end
  else
    local info = stream_info(stream)
    if at == '$' or not id_after(info['last-generated-id'], at) then at = info['last-generated-id'] end
    read = read_at(info, at)
    if not read then
      if first ~= '-' and first ~= info['first-entry'][1] then return false end
      read = first == '-' and -1 or info['entries-added'] - info['length'] + counted
    end
  end
  redis.call('XGROUP', 'CREATE', stream, group, at, 'MKSTREAM', 'ENTRIESREAD', int(read))
  return true
end

-- The group's position is beyond the end of the stream, whose tail a failover or a restart has lost: all that is kept
-- is delivered again.
local function restart_group(stream, group)
  local info = stream_info(stream)
  redis.call('XGROUP', 'SETID', stream, group, '0-0', 'ENTRIESREAD', int(info['entries-added'] - info['length']))
end
