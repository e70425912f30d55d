#!lua flags=allow-oom
-- A member gives back what it has drained, says what it holds, and learns what it shall hold. The only script that
-- makes an owner: a partition is granted when it is free or its owner is dead, so that of two live members never
-- both have one. What is given back is granted at once to the live member that shall have it, which is told by the bell:
-- 'granted SESSION SEQUENCE PARTITION EPOCH ...', with the number of that session's last sync.
-- KEYS  1 sessions  2 members  3 names  4 roster  5 away  6 group  7 target  8 owners
-- ARGV  1 session  2 member  3 bell  4 "planned.revision" it has settled with, or ''  5 ms a planner has
--       6 1 when it is leaving: it has no seat, is granted nothing, and gives back what it holds
--       7 number of this sync; one that was overtaken by a later one changes nothing
--       8 how many released  9... per released: partition, epoch, least epoch of the next grant
--       then per held: partition, epoch
-- Reply {'LOST'} | {'STALE'} | {'OK', planned generation, revision, due, paused, next away deadline in ms or -1, settled, rows}
--       due: '' | 'WAIT' (another one plans) | 'PLAN' (this one is to)
--       settled: 1 when nothing changed since ARGV 4; 2 when it did: ask again with ARGV 4 empty and all that is held.
--       Rows are left out then
--       rows, per partition of its target: {partition, epoch, how}; how: 'held' | 'free' | 'dead' (granted now,
--       from a dead owner) | 'regranted' (it owns it without knowing, or knows another epoch: an answer was lost, or the
--       server's last writes were. Under a new epoch, since some owner may have committed under the one there is) |
--       'wait' (its owner has yet to release it)
--       and {partition, '', 'gone'} per held partition that is not this session's any more
--@include clock
--@include group
local me, member, bell = ARGV[1], ARGV[2], ARGV[3]
if not live(me) then return { 'LOST' } end
local last = redis.call('HGET', KEYS[2], '#' .. me)
if last and tonumber(last) >= tonumber(ARGV[7]) then return { 'STALE' } end
redis.call('HSET', KEYS[2], '#' .. me, ARGV[7])
reap(bell)

local seat, leaving = redis.call('HGET', KEYS[4], member), ARGV[6] == '1'
if leaving and seat == me then
  redis.call('HDEL', KEYS[4], member)
  changed(bell, 'planning')
elseif not leaving and seat ~= me then
  redis.call('HSET', KEYS[4], member, me)
  redis.call('ZREM', KEYS[5], member)
  if not seat then changed(bell, 'planning') end
end

local state = redis.call('HMGET', KEYS[6], 'generation', 'planned', 'revision', 'planner', 'epoch', 'paused')
local generation, planned, revision = state[1] or '0', state[2] or '0', state[3] or '0'

local function release(partition, epoch)
  redis.call('HSET', KEYS[8], partition, '- ' .. epoch)
end

local counter, freed = tonumber(state[5] or '0'), {}
-- Above every epoch there was, as far as anybody here knows of them.
local function grant(partition, session)
  counter = math.max(counter + 1, now_us)
  redis.call('HSET', KEYS[8], partition, session .. ' ' .. int(counter))
  return int(counter)
end

local releases = tonumber(ARGV[8])
for i = 9, 8 + releases * 3, 3 do
  if redis.call('HGET', KEYS[8], ARGV[i]) == me .. ' ' .. ARGV[i + 1] then
    release(ARGV[i], ARGV[i + 1])
    freed[#freed + 1] = ARGV[i]
  end
  counter = math.max(counter, tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
end

-- Whoever shall have it; nil while that is being planned anew, or when it is this one, or one that is away or dead.
local function heirs()
  local sessions = {}
  if planned ~= generation then return sessions end
  local target = redis.call('HGETALL', KEYS[7])
  for i = 1, #target, 2 do
    local session = redis.call('HGET', KEYS[4], target[i])
    if session and session ~= me and live(session) then
      for partition in string.gmatch(target[i + 1], '%d+') do sessions[partition] = session end
    end
  end
  return sessions
end

if #freed > 0 then
  local sessions, given, left = heirs(), {}, false
  for _, partition in ipairs(freed) do
    local session = sessions[partition]
    if session then
      given[session] = (given[session] or '') .. ' ' .. partition .. ' ' .. grant(partition, session)
    else
      left = true
    end
  end
  for session, list in pairs(given) do
    redis.pcall('PUBLISH', bell, 'granted ' .. session .. ' ' .. (redis.call('HGET', KEYS[2], '#' .. session) or '0') .. list)
  end
  if left then redis.pcall('PUBLISH', bell, 'free') end
end
if counter > tonumber(state[5] or '0') then redis.call('HSET', KEYS[6], 'epoch', int(counter)) end

local due = ''
if planned ~= generation then
  -- One plans, the others are rung when it has; one that dies over it, or tries again and again, is not waited for long.
  local planner, until_ms = string.match(state[4] or '', '^(%S+) (%d+)$')
  local taken = planner and tonumber(until_ms) > now_ms and live(planner)
  if taken and planner ~= me then
    due = 'WAIT'
  else
    if not taken then redis.call('HSET', KEYS[6], 'planner', me .. ' ' .. int(now_ms + tonumber(ARGV[5]))) end
    due = 'PLAN'
  end
end

local next_away = -1
local away = redis.call('ZRANGE', KEYS[5], '0', '0', 'WITHSCORES')
if away[2] then next_away = math.max(0, tonumber(away[2]) - now_ms) end
if ARGV[4] ~= '' then
  return { 'OK', planned, revision, due, state[6] or '', next_away, ARGV[4] == planned .. '.' .. revision and 1 or 2, {} }
end

local rows, held, wanted = {}, {}, {}
for i = 9 + releases * 3, #ARGV, 2 do
  held[ARGV[i]] = ARGV[i + 1]
  counter = math.max(counter, tonumber(ARGV[i + 1]))
end
for partition in string.gmatch(not leaving and redis.call('HGET', KEYS[7], member) or '', '%d+') do wanted[#wanted + 1] = partition end
local want = {}
for _, partition in ipairs(wanted) do want[partition] = true end

-- What this session owns without knowing it, or knows by an older epoch, and is not to have: an answer was lost, and the
-- target changed since. Whoever has settled does not ask again, and nobody else would ever get it.
local owners, list = {}, redis.call('HGETALL', KEYS[8])
for i = 1, #list, 2 do
  local partition, session, epoch = list[i], string.match(list[i + 1], '^(%S+) (%d+)$')
  owners[partition] = { session, epoch }
  if session == me and held[partition] ~= epoch and not want[partition] then
    release(partition, epoch)
    redis.pcall('PUBLISH', bell, 'free')
  end
end
for partition, epoch in pairs(held) do
  local owner = owners[partition]
  if not owner or owner[1] ~= me or owner[2] ~= epoch then rows[#rows + 1] = { partition, '', 'gone' } end
end
for _, partition in ipairs(wanted) do
  local owner = owners[partition]
  if owner and owner[1] == me and held[partition] == owner[2] then
    rows[#rows + 1] = { partition, owner[2], 'held' }
  elseif owner and owner[1] == me then
    rows[#rows + 1] = { partition, grant(partition, me), 'regranted' }
  elseif owner and owner[1] ~= '-' and live(owner[1]) then
    rows[#rows + 1] = { partition, '', 'wait' }
  else
    rows[#rows + 1] = { partition, grant(partition, me), owner and owner[1] ~= '-' and 'dead' or 'free' }
  end
end
redis.call('HSET', KEYS[6], 'epoch', int(counter))
return { 'OK', planned, revision, due, state[6] or '', next_away, 0, rows }
