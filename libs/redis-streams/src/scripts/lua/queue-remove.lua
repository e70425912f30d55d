#!lua flags=allow-oom
-- Forgets a group, and deletes the messages that only it kept. Where several groups are left everything up to the oldest that
-- any of them has yet to settle goes; where one is left, what it has settled is looked for, so many messages a call.
-- KEYS  1 messages  2 sessions  3 members  4 names  5 retries  6 attempts  7 control  8 handlers
-- ARGV  1 group  2 id from which to look, '-' at first  3 messages to look at in one call
-- Reply the id to go on from, or '': done
--@include clock
--@include queue
local messages = KEYS[1]
if ARGV[2] == '-' then
  redis.pcall('XGROUP', 'DESTROY', messages, ARGV[1])
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8])
end
local groups = redis.pcall('XINFO', 'GROUPS', messages)
if groups.err or #groups == 0 then return '' end
local row = {}
for i = 1, #groups[1], 2 do row[groups[1][i]] = groups[1][i + 1] end
if #groups > 1 then
  settle(messages, row['name'], {})
  return ''
end
local entries = redis.call('XRANGE', messages, ARGV[2], row['last-delivered-id'], 'COUNT', ARGV[3])
if #entries == 0 then return '' end
local last = entries[#entries][1]
local open, settled = {}, {}
for _, held in ipairs(redis.call('XPENDING', messages, row['name'], ARGV[2], last, ARGV[3])) do open[held[1]] = true end
for _, entry in ipairs(entries) do
  if not open[entry[1]] then settled[#settled + 1] = entry[1] end
end
if #settled > 0 then redis.call('XDEL', messages, unpack(settled)) end
return #entries < tonumber(ARGV[3]) and '' or id_next(last)
