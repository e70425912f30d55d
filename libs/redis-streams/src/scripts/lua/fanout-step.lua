#!lua flags=allow-oom
-- One session's acknowledgements as fanout-ack takes them, of rooms in which nothing else is to be done: the last one shows the
-- next message and leaves everything else as it is, see 'plain' of include/room.lua. Where there is more to do it changes
-- nothing, and says so in the room ("a"): that acknowledgement is to be said in full. Every message of a busy room comes by here
-- as often as the room has members, and the room stands still meanwhile: what a key, a function or a table more takes can be seen.
-- KEYS  1... for each room: state, backlog
-- ARGV  1 session  2... for each room the turn
-- Reply none
local call = redis.call
local session, now = ARGV[1], nil
for i = 2, #ARGV do
  local state, backlog, turn = KEYS[i * 2 - 3], KEYS[i * 2 - 2], ARGV[i]
  local found = call('HMGET', state, 'turn', 'left', session)
  local left, noted = found[2], found[3]
  -- Turns are microseconds, and compared as the text they are: it has sixteen digits from 2001 to 2286.
  local is_owed = found[1] == turn and noted and noted ~= 'async' and noted ~= turn
  if is_owed and (#noted == #turn and noted > turn or #noted ~= #turn and tonumber(noted) > tonumber(turn)) then is_owed = false end
  if is_owed and left ~= '1' then
    call('HSET', state, session, turn, 'left', string.format('%d', left - 1))
  elseif is_owed then
    local known, is_shown = call('HMGET', state, 'number', 'plain'), false
    local number, plain = known[1], known[2]
    if number and plain and not now then
      local time = call('TIME')
      now = time[1] .. string.sub('00000' .. time[2], -6)
    end
    if number and plain and #now == 16 and #turn == 16 and turn < now and now < plain and (#number < 16 or #number == 16 and number < now) then
      local first = call('ZPOPMIN', backlog)
      local entry = first[1]
      if entry and string.find(entry, '^%d+ %d+ %- %d+ ') then
        local text = 'm' .. now .. ' ' .. first[2] .. ' ' .. entry
        local reply = redis.pcall('SPUBLISH', state, text)
        if type(reply) == 'table' and reply.err then redis.pcall('PUBLISH', state, text) end
        call('HSET', state, 'turn', now, 'left', string.sub(plain, 18), 'text', text)
        is_shown = true
      elseif entry then
        call('ZADD', backlog, first[2], entry)
      end
    end
    if not is_shown then
      local text = 'a' .. session .. ' ' .. turn
      local reply = redis.pcall('SPUBLISH', state, text)
      if type(reply) == 'table' and reply.err then redis.pcall('PUBLISH', state, text) end
    end
  end
end
