-- Stream ids, as text: a half may be larger than what Lua counts exactly. Of two numbers the longer one is larger.
local LAST = '18446744073709551615'

-- Whether stream id a is after b.
local function id_after(a, b)
  local a1, a2 = string.match(a, '^(%d+)-(%d+)$')
  local b1, b2 = string.match(b, '^(%d+)-(%d+)$')
  if a1 == b1 then a1, b1 = a2, b2 end
  if #a1 ~= #b1 then return #a1 > #b1 end
  return a1 > b1
end

-- One more (by = 1) or less (-1) than a half that has such a neighbour. From 16 digits on in two parts.
local function id_half(half, by)
  if #half < 16 then return int(tonumber(half) + by) end
  local high, low = tonumber(string.sub(half, 1, -16)), tonumber(string.sub(half, -15)) + by
  if low < 0 then
    high, low = high - 1, 999999999999999
  elseif low > 999999999999999 then
    high, low = high + 1, 0
  end
  return (high > 0 and int(high) or '') .. string.format('%015.0f', low)
end

-- Neighbours of an id; the first one and the last one are their own.
local function id_before(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  if seq ~= '0' then return ms .. '-' .. id_half(seq, -1) end
  return ms == '0' and id or id_half(ms, -1) .. '-' .. LAST
end

local function id_next(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  if seq ~= LAST then return ms .. '-' .. id_half(seq, 1) end
  return ms == LAST and id or id_half(ms, 1) .. '-0'
end
