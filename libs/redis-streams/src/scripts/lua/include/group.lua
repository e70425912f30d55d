-- A consumer group's coordination. KEYS 1 sessions 2 members 3 names 4 roster 5 away 6 group 7 target 8 owners
--   generation: number of the roster, raised whenever it changes; planned: the one the target was made for;
--   revision: raised whenever owners must look again although the target is the same. Members compare nothing else, so
--   both are raised to at least the server's microseconds: none comes twice, though the server lose its last writes.
local function live(session)
  local deadline = redis.call('ZSCORE', KEYS[1], session)
  return deadline and tonumber(deadline) > now_ms
end

-- `news`: 'planning' when somebody is told to plan for it in the same call, 'roster' when nobody is yet.
local function changed(bell, news)
  local generation = tonumber(redis.call('HGET', KEYS[6], 'generation') or '0')
  redis.call('HSET', KEYS[6], 'generation', int(math.max(generation + 1, now_us)))
  redis.pcall('PUBLISH', bell, news)
end

local function drop_session(session, member)
  redis.call('ZREM', KEYS[1], session)
  redis.call('HDEL', KEYS[2], session, '#' .. session)
  if redis.call('HGET', KEYS[3], member) == session then redis.call('HDEL', KEYS[3], member) end
end

-- Takes the dead out of the roster, and seats nobody came back to. A dead one whose name has a new session is not
-- gone: the seat is the name's, so a process that restarts in time gets what it had and nobody else is asked to move.
local function reap(bell)
  local gone = false
  for _, session in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', int(now_ms), 'BYSCORE')) do
    local member = redis.call('HGET', KEYS[2], session) or session
    local heir = redis.call('HGET', KEYS[3], member)
    if redis.call('HGET', KEYS[4], member) == session then
      if heir and heir ~= session and live(heir) then
        redis.call('HSET', KEYS[4], member, heir)
      else
        redis.call('HDEL', KEYS[4], member)
        gone = true
      end
    end
    drop_session(session, member)
  end
  for _, member in ipairs(redis.call('ZRANGE', KEYS[5], '-inf', int(now_ms), 'BYSCORE')) do
    redis.call('ZREM', KEYS[5], member)
    if redis.call('HGET', KEYS[4], member) == '-' then
      redis.call('HDEL', KEYS[4], member)
      gone = true
    end
  end
  if gone then changed(bell, 'planning') end
end
