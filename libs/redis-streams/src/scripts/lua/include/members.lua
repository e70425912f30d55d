-- Who is alive, how much each holds, and how much each is due.
local function live_members(sessions)
  local live, list = {}, redis.call('ZRANGE', sessions, '(' .. int(now_ms), '+inf', 'BYSCORE', 'WITHSCORES')
  for i = 1, #list, 2 do live[list[i]] = tonumber(list[i + 1]) end
  return live
end

-- Pending count per consumer; creates the group when the server has lost it (answers created = true).
local function pending(lbs, group)
  local summary = redis.pcall('XPENDING', lbs, group)
  if summary.err then
    if not string.find(summary.err, 'NOGROUP', 1, true) then return nil, false, summary.err end
    redis.call('XGROUP', 'CREATE', lbs, group, '0', 'MKSTREAM')
    return {}, true, nil
  end
  local held = {}
  if summary[4] then
    for _, row in ipairs(summary[4]) do held[row[1]] = tonumber(row[2]) end
  end
  return held, false, nil
end

-- Entries the group has not yet delivered. `lag` is unknown after odd deletions; then length minus pending,
-- which is exact while finished announcements are deleted.
local function undelivered(lbs, group, pending_total)
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', lbs)) do
    local name, lag
    for i = 1, #info, 2 do
      if info[i] == 'name' then name = info[i + 1] elseif info[i] == 'lag' then lag = info[i + 1] end
    end
    if name == group then
      if lag then return tonumber(lag) end
      return math.max(0, redis.call('XLEN', lbs) - pending_total)
    end
  end
  return 0
end

-- Fair share by water filling: everybody gets the same level, capped by capacity, rounded up.
local function fair_share(total, live, capacities, me)
  local open, left = {}, total
  for member in pairs(live) do open[#open + 1] = { member, capacities[member] or 0 } end
  table.sort(open, function(a, b) return a[2] < b[2] end)
  for i, row in ipairs(open) do
    local level = left / (#open - i + 1)
    if row[2] >= level then -- this one and all after it have room for the level
      local mine = capacities[me] or 0
      return mine < level and mine or math.min(mine, math.ceil(level))
    end
    left = left - row[2]
  end
  return capacities[me] or 0
end

local function capacities_of(members)
  local map, list = {}, redis.call('HGETALL', members)
  for i = 1, #list, 2 do map[list[i]] = tonumber(list[i + 1]) end
  return map
end
