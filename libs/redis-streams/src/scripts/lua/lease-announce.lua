#!lua
-- Adds announcements. Sending a batch again (same sequence) adds nothing twice and answers what it answered then.
-- KEYS  1 lbs  2 leases  3 this announcer's last batch
-- ARGV  1 sequence  2 ms to keep the answers  3... three per announcement: stream, payload, dedupe (queued | open | off)
-- Reply {id...}; an id preceded by '=' is the open announcement that absorbed this one. {} for a batch older than
--       the last one: it was given up by its sender and sent again, and arrives late from an old connection
--@include clock
--@include record
local last = redis.call('HMGET', KEYS[3], 'sequence', 'ids')
if last[1] == ARGV[1] then
  local reply = {}
  for id in string.gmatch(last[2], '%S+') do reply[#reply + 1] = id end
  return reply
end
if last[1] and tonumber(last[1]) > tonumber(ARGV[1]) then return {} end
local ids = {}
for i = 3, #ARGV, 3 do
  local stream, dedupe = ARGV[i], ARGV[i + 2]
  local r = dedupe ~= 'off' and read_record(KEYS[2], stream)
  -- A queued announcement somebody deleted by hand must not absorb others for ever: look.
  local absorbed = r and (r.owner == 'queued' or dedupe == 'open') and #redis.call('XRANGE', KEYS[1], r.entry, r.entry) > 0
  if absorbed then
    ids[#ids + 1] = '=' .. r.entry
  else
    local id = redis.call('XADD', KEYS[1], '*', 'lbs-input', ARGV[i + 1])
    ids[#ids + 1] = id
    if dedupe ~= 'off' and (not r or r.owner == 'queued') then
      write_record(KEYS[2], stream, { entry = id, token = '0', owner = 'queued', attempt = 0, failures = 0,
        since = int(now_ms), previous = '-' })
    end
  end
end
redis.call('HSET', KEYS[3], 'sequence', ARGV[1], 'ids', table.concat(ids, ' '))
redis.call('PEXPIRE', KEYS[3], ARGV[2])
return ids
