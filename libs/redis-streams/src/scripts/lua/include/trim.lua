--@include ids
-- Up to where every group is through with a stream: nil when there is no group, which may still want all of it.
-- A group that reads with XREADGROUP counts up to before its oldest pending entry.
local function committed_by_all(stream)
  local infos = redis.pcall('XINFO', 'GROUPS', stream)
  if infos.err then return nil end
  local least
  for _, info in ipairs(infos) do
    local row = {}
    for i = 1, #info, 2 do row[info[i]] = info[i + 1] end
    local at = row['last-delivered-id']
    if tonumber(row['pending']) > 0 then
      local first = redis.call('XPENDING', stream, row['name'])[2]
      if first and not id_after(first, at) then at = id_before(first) end
    end
    if not least or id_after(least, at) then least = at end
  end
  return least
end

-- Removes what every group has committed and nobody wants kept, which begins with the id `keep`, or nil: nothing.
-- Answers how many entries that were.
local function trim_committed(stream, keep, exactly)
  local cut = committed_by_all(stream)
  if not cut or cut == '0-0' then return 0 end
  -- Positions beyond the end: the tail was lost, and what was sent since is not what they committed.
  if id_after(cut, stream_info(stream)['last-generated-id']) then return 0 end
  cut = id_next(cut) -- MINID keeps the id it names
  if keep and id_after(cut, keep) then cut = keep end
  return redis.call('XTRIM', stream, 'MINID', exactly and '=' or '~', cut)
end
