#!lua
-- Appends dead letters of a group to the partitions they came from, for that group alone, and removes each in the same
-- step: it is never in both places, nor in none. Sending a batch again (same number) appends nothing twice and answers
-- what it answered then.
-- KEYS  1 dead  2 what this replay was answered last  3... partition streams
-- ARGV  1 batch  2 ms to keep the answers  3 group  4 max entries of a partition  5 how many partitions
--       6... the number of each partition, then ids of dead letters
-- Reply per letter OK | gone | full | no-group | unreadable | unusable: the partition's key holds no stream
--@include clock
--@include position
--@include trim
--@include letter
local known = answered(KEYS[2], ARGV[1])
if known then return known end
local group, max, count = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local streams, rooms, groups, answers = {}, {}, {}, {}
for i = 1, count do streams[ARGV[5 + i]] = KEYS[2 + i] end

-- Asked once and counted down, as in partition-produce. False: it holds no stream.
local function room_in(stream)
  local length = redis.pcall('XLEN', stream)
  if type(length) == 'table' then return false end
  local room = max - length
  return room > 0 and room or room + trim_committed(stream, nil, true)
end

for i = 6 + count, #ARGV do
  local letter, entry = letter_at(KEYS[1], ARGV[i])
  local stream = letter and streams[letter['partition'] or '']
  if stream and rooms[stream] == nil then rooms[stream], groups[stream] = room_in(stream), has_group(stream, group) end
  local answer = 'OK'
  if not letter then
    answer = 'gone'
  elseif not stream then
    answer = 'unreadable'
  elseif not rooms[stream] then
    answer = 'unusable'
  elseif not groups[stream] then
    answer = 'no-group' -- the others would pass over it, and it would be trimmed
  elseif rooms[stream] <= 0 then
    answer = 'full'
  else
    local args = { stream, '*' }
    for f = 1, #entry, 2 do
      if entry[f] ~= 'toGroup' then args[#args + 1], args[#args + 2] = entry[f], entry[f + 1] end
    end
    args[#args + 1], args[#args + 2] = 'toGroup', group
    redis.call('XADD', unpack(args))
    redis.call('XDEL', KEYS[1], ARGV[i])
    rooms[stream] = rooms[stream] - 1
  end
  answers[#answers + 1] = answer
end
return remember(KEYS[2], ARGV[1], ARGV[2], answers)
