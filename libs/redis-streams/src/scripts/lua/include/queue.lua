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

-- Where a group's consumers hold nothing (`pending`, in all), there is nothing to know of either: what is there was left behind
-- when a hand took messages from who had them. A key of another type is nobody's to delete.
local function sweep(attempts, retries, pending)
  if pending > 0 then return end
  if type(redis.pcall('HGET', attempts, '')) ~= 'table' then redis.call('DEL', attempts) end
  if type(redis.pcall('ZSCORE', retries, '')) ~= 'table' then redis.call('DEL', retries) end
end

-- The oldest id that a group (a row of XINFO GROUPS) has yet to settle; without any: the last it was given, and false. So it
-- is for one that a hand has set back behind all it holds: what lies between it is yet to be given.
local function position(messages, info)
  local row = {}
  for i = 1, #info, 2 do row[info[i]] = info[i + 1] end
  local oldest = tonumber(row['pending']) > 0 and redis.call('XPENDING', messages, row['name'])[2]
  if oldest and not id_after(oldest, row['last-delivered-id']) then return oldest, true end
  return row['last-delivered-id'], false
end

-- Ends messages for one group: what every group is through with is deleted. With several groups everything up to the
-- oldest that any of them has yet to settle goes. With one, what lies beyond that goes too: one slow message keeps no other.
local function settle(messages, group, ids)
  for from = 1, #ids, 4000 do
    redis.call('XACK', messages, group, unpack(ids, from, math.min(#ids, from + 3999)))
  end
  local groups = redis.pcall('XINFO', 'GROUPS', messages)
  if groups.err then return end -- deleted by a hand, and its groups with it
  local first, exclusive
  for _, info in ipairs(groups) do
    local at, open = position(messages, info)
    if not first or id_after(first, at) or (at == first and open) then first, exclusive = at, not open end
  end
  if not first then return end
  -- Cutting off a stream's beginning costs a small part of what deleting its entries one by one does. MINID keeps the id it names.
  if first ~= '0-0' then
    local from = exclusive and id_next(first) or first
    if exclusive and from == first then redis.call('XTRIM', messages, 'MAXLEN', '=', '0') -- the last id there is
    else redis.call('XTRIM', messages, 'MINID', '=', from) end
  end
  if #groups > 1 then return end
  local beyond = {}
  local ms = string.match(first, '^%d+')
  local width = #ms
  for _, id in ipairs(ids) do
    -- Nearly all are of an earlier millisecond, which is cheap to see.
    local earlier = string.byte(id, width + 1) == 45 and string.sub(id, 1, width) < ms
    if not earlier and id_after(id, first) then beyond[#beyond + 1] = id end
  end
  for from = 1, #beyond, 4000 do
    redis.call('XDEL', messages, unpack(beyond, from, math.min(#beyond, from + 3999)))
  end
end
