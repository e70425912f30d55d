--@include ids
-- What a queue's group knows about messages that were delivered more than once: "failures crashes begun".
local POOL = '-'

local function attempts_of(record)
  local failures, crashes, begun = string.match(record or '', '^(%d+) (%d+) (%d)$')
  return tonumber(failures or '0'), tonumber(crashes or '0'), begun == '1'
end

local function live(sessions, session)
  local deadline = redis.call('ZSCORE', sessions, session)
  return deadline and tonumber(deadline) > now_ms
end

-- Whether the session holds the message at this moment.
local function holds(messages, group, session, id)
  local row = redis.pcall('XPENDING', messages, group, id, id, '1')
  return not row.err and row[1] ~= nil and row[1][2] == session
end

-- Ends messages for one group: what every group is through with is deleted. With several groups everything up to the
-- oldest that any of them has yet to settle goes.
local function settle(messages, group, ids)
  for from = 1, #ids, 4000 do
    redis.call('XACK', messages, group, unpack(ids, from, math.min(#ids, from + 3999)))
  end
  local groups = redis.pcall('XINFO', 'GROUPS', messages)
  if groups.err then return end -- deleted by a hand, and its groups with it
  if #groups == 1 then
    for from = 1, #ids, 4000 do
      redis.call('XDEL', messages, unpack(ids, from, math.min(#ids, from + 3999)))
    end
    return
  end
  local first, exclusive
  for _, info in ipairs(groups) do
    local row = {}
    for i = 1, #info, 2 do row[info[i]] = info[i + 1] end
    local at, open = row['last-delivered-id'], false
    if tonumber(row['pending']) > 0 then
      local oldest = redis.call('XPENDING', messages, row['name'])[2]
      if oldest then at, open = oldest, true end
    end
    if not first or id_after(first, at) or (at == first and open) then first, exclusive = at, not open end
  end
  if not first or first == '0-0' then return end
  -- MINID keeps the id it names.
  redis.call('XTRIM', messages, 'MINID', '=', exclusive and id_next(first) or first)
end
