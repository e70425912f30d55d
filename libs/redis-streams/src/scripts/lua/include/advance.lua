-- The next message of a room whose current one everybody has acknowledged, where nothing else is to be done, see 'plain' of
-- include/room.lua: what `settle` does there takes the server longer, and most messages of busy rooms come by here.
--@include publish
local time = redis.call('TIME')
local now = time[1] .. string.sub('00000' .. time[2], -6)
-- Answers false, and has changed nothing, where there is more to do.
local function advance(state, backlog, turn)
  local known = redis.call('HMGET', state, 'number', 'plain')
  local number, plain = known[1], known[2]
  if not number or not plain then return false end
  -- Microseconds, compared as the text they are: it has sixteen digits from 2001 to 2286.
  if #now ~= 16 or #turn ~= 16 or turn >= now or now >= plain or #number > 16 or #number == 16 and number >= now then return false end
  local first = redis.pcall('ZPOPMIN', backlog)
  local entry = first[1]
  if not entry then return false end
  if not string.find(entry, '^%d+ %d+ %- %d+ ') then
    redis.call('ZADD', backlog, first[2], entry)
    return false
  end
  local text = 'm' .. now .. ' ' .. first[2] .. ' ' .. entry
  publish(state, text)
  redis.call('HSET', state, 'turn', now, 'left', string.sub(plain, 18), 'text', text)
  return true
end
