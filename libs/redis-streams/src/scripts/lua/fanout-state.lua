#!lua flags=no-writes
-- Everything about one room.
-- KEYS  1 sessions  2 members  3 state  4 backlog
-- Reply {server ms, number or '', the current message as it was published or '', its deadline or '', waiting, then per member five: session, sync | async, its deadline or '', its ttl, 1 when it owes}
--@include clock
local state = redis.call('HGETALL', KEYS[3])
local fields, members = {}, {}
for i = 1, #state, 2 do fields[state[i]] = state[i + 1] end
local turn = tonumber(fields['turn'])
-- See include/room.lua.
local deadline = turn and fields['plain'] and int(math.floor(turn / 1000) + fields['allowed']) or fields['until'] or ''
for i = 1, #state, 2 do
  local session, noted = state[i], state[i + 1]
  -- The names of sessions have a colon, and no others.
  if string.find(session, ':', 1, true) then
    members[#members + 1] = session
    members[#members + 1] = noted == 'async' and noted or 'sync'
    members[#members + 1] = redis.call('ZSCORE', KEYS[1], session) or ''
    members[#members + 1] = redis.call('HGET', KEYS[2], session) or ''
    members[#members + 1] = turn and noted ~= 'async' and tonumber(noted) < turn and 1 or 0
  end
end
return { int(now_ms), int(math.max(tonumber(fields['number'] or '0'), turn or 0)), turn and fields['text'] or '', deadline, redis.call('ZCARD', KEYS[4]), members }
