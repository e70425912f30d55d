-- Takes one acknowledgement: of `session`, of the message shown in `turn`, in the room whose `state` says 'turn', 'left' and what
-- the session is noted as (`found`). `taken` becomes -1: no member | 0: not owed | 1: noted | 2: owed, and the last: to be completed
-- by what comes behind this. No function, since it runs for each member and each message, and making one takes longer than it.
local noted, taken = found[3], 0
if not noted then
  taken = -1
-- Turns are compared as the text they are, unless somebody's clock was set.
elseif found[1] == turn and noted ~= 'async' and noted ~= turn and (#noted == #turn and noted < turn or #noted ~= #turn and tonumber(noted) < tonumber(turn)) then
  taken = found[2] == '1' and 2 or 1
  if taken == 1 then redis.call('HSET', state, session, turn, 'left', string.format('%d', found[2] - 1)) end
end
