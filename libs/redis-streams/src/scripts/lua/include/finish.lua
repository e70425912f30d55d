-- Ends an announcement: acknowledged and deleted, its record and checkpoint dropped, its follow-up let go.
-- Deleting keeps the invariant "what is in the stream is open", so the stream's length is the work left.
local function drop_entry(lbs, group, entry)
  redis.pcall('XACK', lbs, group, entry)
  redis.call('XDEL', lbs, entry)
end

-- Answers true when a follow-up became free, so that the caller rings the bell.
local function finish(keys, group, stream, entry)
  drop_entry(keys.lbs, group, entry)
  redis.call('HDEL', keys.leases, stream)
  redis.call('HDEL', keys.checkpoints, stream)
  local follow_up = redis.call('HGET', keys.follow_ups, stream)
  if not follow_up then return false end
  redis.call('HDEL', keys.follow_ups, stream)
  redis.call('ZADD', keys.free, int(now_ms), follow_up)
  return true
end

-- Copies an announcement to the dead-letter stream with what is known about its end. Its own fields keep their
-- names behind `entry.`, so that none can pass for ours; an absurd number of them is cut, and said so.
local MAX_FIELDS = 128

local function dead_letter(keys, fields, about)
  local args = { keys.dead, '*' }
  for _, part in ipairs(about) do args[#args + 1] = part end
  if fields then
    for i = 1, math.min(#fields, MAX_FIELDS), 2 do
      args[#args + 1] = 'entry.' .. fields[i]
      args[#args + 1] = fields[i + 1]
    end
    if #fields > MAX_FIELDS then
      args[#args + 1] = 'truncatedFields'
      args[#args + 1] = tostring(#fields / 2)
    end
  end
  redis.call('XADD', unpack(args))
end
