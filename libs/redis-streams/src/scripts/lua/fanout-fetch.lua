#!lua flags=no-writes
-- The current messages of rooms, for a session that owes an acknowledgement and may have missed them.
-- KEYS  1... the rooms' states
-- ARGV  1 session
-- Reply per room the message as it was published | '': nothing is owed | '-': the session is no member
local replies = {}
for i = 1, #KEYS do
  local state = redis.pcall('HMGET', KEYS[i], 'turn', ARGV[1], 'text')
  local turn, noted = state[1], state[2]
  if state.err then
    replies[i] = '' -- something else is there: a matter of that room alone
  elseif not noted then
    replies[i] = '-'
  elseif turn and noted ~= 'async' and tonumber(noted) < tonumber(turn) then
    replies[i] = state[3] or ''
  else
    replies[i] = ''
  end
end
return replies
