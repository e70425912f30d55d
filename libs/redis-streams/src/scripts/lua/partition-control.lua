#!lua flags=allow-oom
-- What an operator changes in a group: which partitions are paused, and owners that must take a partition anew.
-- KEYS  1 group  2 owners
-- ARGV  1 bell  2 pause | resume | evict  3... partitions; none: all of them
-- Reply the paused partitions, "all" or "0,5,7"
--@include clock
local verb = ARGV[2]
if verb == 'evict' then
  for i = 3, #ARGV do
    local owner = redis.call('HGET', KEYS[2], ARGV[i])
    local epoch = owner and string.match(owner, ' (%d+)$')
    if epoch then redis.call('HSET', KEYS[2], ARGV[i], '- ' .. epoch) end
  end
  local revision = tonumber(redis.call('HGET', KEYS[1], 'revision') or '0')
  redis.call('HSET', KEYS[1], 'revision', int(math.max(revision + 1, now_us))) -- see group: why not by one
  redis.pcall('PUBLISH', ARGV[1], 'evicted')
  return redis.call('HGET', KEYS[1], 'paused') or ''
end
local paused, set = redis.call('HGET', KEYS[1], 'paused') or '', {}
if #ARGV == 2 then
  paused = verb == 'pause' and 'all' or ''
elseif paused ~= 'all' then
  for partition in string.gmatch(paused, '%d+') do set[partition] = true end
  for i = 3, #ARGV do set[ARGV[i]] = verb == 'pause' or nil end
  local list = {}
  for partition in pairs(set) do list[#list + 1] = tonumber(partition) end
  table.sort(list)
  paused = table.concat(list, ',')
end
redis.call('HSET', KEYS[1], 'paused', paused)
redis.pcall('PUBLISH', ARGV[1], 'paused')
return paused
