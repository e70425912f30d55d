#!lua flags=allow-oom
-- Takes a session out of rooms: it leaves, or is dead. Or, with no session, takes out whoever has not acknowledged in time.
-- KEYS  1 sessions  2 current  3 backlogs  4 rooms  5 dead  6 the session's rooms
--       7... for each room: state, backlog, sync, async, owing, outcomes
-- ARGV  1 hold | pass  2 ms until the current message is overdue  3 redeliveries  4 ms to remember outcomes  5 beginning of the senders' channels
--       6 bell  7 session or ''  8 left | dead | timeout  9... the rooms' names
-- Reply {'OK', per room what became of its current message: "" | "redelivered <id>" | "buried <id>", before it the
--       sessions ejected for the timeout} | {'LIVE'}: the session is not dead
--@include clock
--@include room
local session, reason = ARGV[7], ARGV[8]
if reason == 'dead' then
  local deadline = redis.call('ZSCORE', KEYS[1], session)
  if deadline and tonumber(deadline) > now_ms then return { 'LIVE' } end
end
local reply = { 'OK' }
for i = 1, #ARGV - 8 do
  local room, out = load_room(i, ARGV[8 + i]), {}
  if reason == 'timeout' then
    local deadline = redis.call('ZSCORE', KEYS[2], room.name)
    if room.id and deadline and tonumber(deadline) <= now_ms then
      for _, late in ipairs(redis.call('SMEMBERS', room.owing)) do
        redis.call('SREM', room.sync, late)
        excuse(room, late, late)
        publish(room.state, 'e' .. late .. ' ' .. room.id)
        out[#out + 1] = late
      end
    elseif not room.id then
      redis.call('ZREM', KEYS[2], room.name)
    end
  else
    redis.call('SREM', room.sync, session)
    redis.call('SREM', room.async, session)
    redis.call('SREM', KEYS[6], room.name)
    excuse(room, session, session)
  end
  settle(room)
  if room.redelivered then out[#out + 1] = 'redelivered ' .. room.redelivered end
  if room.buried then out[#out + 1] = 'buried ' .. room.buried end
  reply[i + 1] = out
end
return reply
