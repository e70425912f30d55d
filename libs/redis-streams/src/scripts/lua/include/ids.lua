-- Whether stream id a is after b. Halves below 2^53 compare exactly as numbers.
local function id_after(a, b)
  local a1, a2 = string.match(a, '^(%d+)-(%d+)$')
  local b1, b2 = string.match(b, '^(%d+)-(%d+)$')
  a1, a2, b1, b2 = tonumber(a1), tonumber(a2), tonumber(b1), tonumber(b2)
  return a1 > b1 or (a1 == b1 and a2 > b2)
end

-- Neighbours of an id. Sequences from 10^15 on are beyond what Lua counts exactly; none is ever given out, but a position
-- "before this moment" is written as the last id of the millisecond before.
local function id_before(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  if #seq > 15 then return ms .. '-999999999999999' end
  if tonumber(seq) > 0 then return ms .. '-' .. int(tonumber(seq) - 1) end
  return int(math.max(0, tonumber(ms) - 1)) .. '-999999999999999'
end

local function id_next(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  if #seq > 15 then return int(tonumber(ms) + 1) .. '-0' end
  return ms .. '-' .. int(tonumber(seq) + 1)
end
