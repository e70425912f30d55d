-- The key of a room in whose place another program has put something else, if there is one: that room stands still, and no other.
local function is_foreign(answer)
  return type(answer) == 'table' and answer.err and string.find(answer.err, 'WRONGTYPE', 1, true)
end
local function foreign(index)
  local at = FIRST_ROOM + (index - 1) * 3
  if is_foreign(redis.pcall('HGET', KEYS[at], 'turn')) then return KEYS[at] end
  if is_foreign(redis.pcall('ZCARD', KEYS[at + 1])) then return KEYS[at + 1] end
end
