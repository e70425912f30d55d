#!lua
-- Adds dead letters of a queue to its messages again, each for the group that gave it up alone, and removes each in the
-- same step: it is never in both places, nor in none. Sending a batch again (same number) adds nothing twice and answers
-- what it answered then.
-- KEYS  1 dead  2 what this replay was answered last  3 messages
-- ARGV  1 batch  2 ms to keep the answers  3... ids of dead letters
-- Reply per letter OK | gone | no-group | unreadable
--@include letter
local known = answered(KEYS[2], ARGV[1])
if known then return known end
local answers, groups = {}, {}
for i = 3, #ARGV do
  local letter, entry = letter_at(KEYS[1], ARGV[i])
  local group = letter and letter['group']
  if group and groups[group] == nil then groups[group] = has_group(KEYS[3], group) end
  local answer = 'OK'
  if not letter then
    answer = 'gone'
  elseif not group then
    answer = 'unreadable' -- no consumer has written it
  elseif not groups[group] then
    answer = 'no-group' -- the others would pass over it, and it would be deleted
  else
    local args = { KEYS[3], '*' }
    for f = 1, #entry, 2 do
      if entry[f] ~= 'to' then args[#args + 1], args[#args + 2] = entry[f], entry[f + 1] end
    end
    args[#args + 1], args[#args + 2] = 'to', group
    redis.call('XADD', unpack(args))
    redis.call('XDEL', KEYS[1], ARGV[i])
  end
  answers[#answers + 1] = answer
end
return remember(KEYS[2], ARGV[1], ARGV[2], answers)
