#!lua flags=no-writes,allow-oom
-- What is in one shard, and what one group has yet to do with it.
-- KEYS  1 messages  2 sessions  3 retries  4 delayed  5 dead  6 control
-- ARGV  1 group
-- Reply {messages, undelivered or -1, pending, retries, delayed, dead letters, live consumers, 1 when paused,
--        ms since the oldest unsettled message was sent or -1, then names of the groups}
--@include clock
local function length(command, key)
  local n = redis.pcall(command, key)
  return type(n) == 'number' and n or 0
end
local undelivered, pending, names = -1, 0, {}
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
local total = length('XLEN', KEYS[1])
for _, info in ipairs(groups.err and {} or groups) do
  local row = {}
  for i = 1, #info, 2 do row[info[i]] = info[i + 1] end
  names[#names + 1] = row['name']
  if row['name'] == ARGV[1] then
    pending = tonumber(row['pending'])
    -- With one group what is in the stream is either pending or undelivered, whatever was deleted in between.
    if row['lag'] then undelivered = tonumber(row['lag']) end
    if #groups == 1 then undelivered = math.max(0, total - pending) end
  end
end
local oldest = -1
if total > 0 then
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', '1')[1]
  if first then oldest = math.max(0, now_ms - tonumber(string.match(first[1], '^%d+'))) end
end
local reply = { total, undelivered, pending, redis.call('ZCARD', KEYS[3]), redis.call('ZCARD', KEYS[4]), length('XLEN', KEYS[5]),
  redis.call('ZCOUNT', KEYS[2], '(' .. int(now_ms), '+inf'), redis.call('HGET', KEYS[6], 'paused') == '1' and 1 or 0, oldest }
for _, name in ipairs(names) do reply[#reply + 1] = name end
return reply
