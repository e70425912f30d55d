#!lua flags=allow-oom
-- Installs a target assignment, if the roster is still the one it was made for.
-- KEYS  1 group  2 target
-- ARGV  1 generation it was made for  2 bell  3... per member: name, its partitions "0,5,7"
-- Reply 'OK' | 'STALE'
local state = redis.call('HMGET', KEYS[1], 'generation', 'planned')
if state[1] ~= ARGV[1] then return 'STALE' end
if state[2] == ARGV[1] then return 'OK' end -- sent again, or planned by another: the same facts, the same plan
redis.call('DEL', KEYS[2])
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'planned', ARGV[1])
redis.call('HDEL', KEYS[1], 'planner') -- done: whoever changes the roster next is the one to plan, at once
redis.pcall('PUBLISH', ARGV[2], 'plan ' .. ARGV[1])
return 'OK'
