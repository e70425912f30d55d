#!lua flags=allow-oom
-- One consumer looks after its shard: messages whose time has come join the queue, what dead consumers held and what is due
-- to be delivered again goes to this one, as far as it has room.
-- KEYS  1 messages  2 sessions  3 members  4 retries  5 attempts  6 delayed  7 control  8 dead  9 names
-- ARGV  1 session  2 group  3 messages to take at most  4 bytes of them to take at most, about
-- Reply {'LOST'}
--       | {'OK', ms until this session is to look since something is due, 0 for at once, or -1, ms until a peer's deadline or -1,
--          messages the server counts as held by this session, 1 when there is more to take now, 1 when paused, why delayed
--          messages cannot join or '', then of each taken message: id, fields, failures, crashes, 1 when its consumer has died}
--@include clock
--@include queue
local messages, session, group = KEYS[1], ARGV[1], ARGV[2]
local want, bytes_left = tonumber(ARGV[3]), tonumber(ARGV[4])
if not live(KEYS[2], session) then return { 'LOST' } end

-- Delayed messages, in the order of their times: so many that the call is hardly felt, so fewer of large ones. Therefore in
-- parts. What has joined leaves before anything that could end the script, or it would join again.
local MOST, MOST_BYTES = 800, 1048576
local part, moved, bytes, refused = 1, 0, 0, ''

local call, pcall = redis.call, redis.pcall
local function join(text, keys, headers, ids, from)
  local at = from + keys + headers + ids
  local data = string.sub(text, at)
  local message = { 'XADD', messages, '*', 'data', data }
  if keys > 0 then message[6], message[7] = 'key', string.sub(text, from, from + keys - 1) end
  if headers > 0 then message[#message + 1], message[#message + 2] = 'headers', string.sub(text, from + keys, from + keys + headers - 1) end
  if ids > 0 then message[#message + 1], message[#message + 2] = 'id', string.sub(text, from + keys + headers, at - 1) end
  return redis.pcall(unpack(message))
end

repeat
  local texts = redis.call('ZRANGE', KEYS[6], '-inf', int(now_ms), 'BYSCORE', 'LIMIT', '0', int(part))
  local joined, last = 0, #texts < part
  local function leave(upto)
    if upto > joined then call('ZREM', KEYS[6], unpack(texts, joined + 1, upto)) end
    joined = upto
  end
  for i, text in ipairs(texts) do
    local data, added = string.match(text, '^%S+ 0 0 0\n()')
    if data then
      added = pcall('XADD', messages, '*', 'data', string.sub(text, data))
    else
      local keys, headers, ids, from = string.match(text, '^%S+ (%d+) (%d+) (%d+)\n()')
      if keys then
        added = join(text, tonumber(keys), tonumber(headers), tonumber(ids), from)
      else
        -- No message: it must not keep the others.
        leave(i - 1)
        call('XADD', KEYS[8], '*', 'reason', 'unreadable', 'error', 'not a delayed message', 'entry.data', text)
      end
    end
    -- The stream has run out of ids. All else goes on.
    if type(added) == 'table' then
      refused = added.err
      leave(i - 1)
      break
    end
    bytes = bytes + #text + 64
  end
  if refused ~= '' then break end
  leave(#texts)
  moved = moved + #texts
  part = math.max(1, math.min(100, math.floor((MOST_BYTES - bytes) * moved / bytes)))
until last or moved >= MOST or bytes >= MOST_BYTES

local function forget(name)
  redis.call('ZREM', KEYS[2], name)
  redis.call('HDEL', KEYS[3], name)
  local own = string.match(name, '^(.*):%x+$')
  if own and redis.call('HGET', KEYS[9], own) == name then redis.call('HDEL', KEYS[9], own) end
end

local paused = redis.call('HGET', KEYS[7], 'paused') == '1'
if paused then want = 0 end
local taken, more = {}, 0

local function room()
  if want > 0 and bytes_left > 0 then return true end
  if not paused then more = 1 end
  return false
end

-- Claims one for this session. What was deleted meanwhile is forgotten.
local function take(id, failures, crashes, orphan)
  local entry = redis.call('XCLAIM', messages, group, session, '0', id)[1]
  if not entry or not entry[2] then
    redis.pcall('XACK', messages, group, id)
    redis.call('HDEL', KEYS[5], id)
    return
  end
  want = want - 1
  for _, text in ipairs(entry[2]) do bytes_left = bytes_left - #text end
  for _, part in ipairs({ id, entry[2], failures, crashes, orphan }) do taken[#taken + 1] = part end
end

-- What the dead held. Whose session is over is deleted once nothing is left of it.
local mine, pooled, peers, first, held_by_all = 0, 0, 0, true, 0
local rank = string.reverse(session)
local consumers = redis.pcall('XINFO', 'CONSUMERS', messages, group)
for _, info in ipairs(consumers) do
  local row = {}
  for i = 1, #info, 2 do row[info[i]] = info[i + 1] end
  local name, pending = row['name'], tonumber(row['pending'])
  held_by_all = held_by_all + pending
  if name == session then
    mine = pending
  elseif name == POOL then
    pooled = pending
  elseif live(KEYS[2], name) then
    peers = peers + 1
    first = first and rank < string.reverse(name)
  else
    while pending > 0 and room() do
      local page = redis.call('XPENDING', messages, group, '-', '+', tostring(math.min(want, 100)), name)
      if #page == 0 then break end
      for _, held in ipairs(page) do
        if room() then
          local failures, crashes, begun = attempts_of(redis.call('HGET', KEYS[5], held[1]))
          if begun then crashes = crashes + 1 end
          redis.call('HSET', KEYS[5], held[1], int(failures) .. ' ' .. int(crashes) .. ' 0')
          redis.call('ZREM', KEYS[4], held[1])
          take(held[1], failures, crashes, 1)
          pending = pending - 1
        end
      end
    end
    if pending == 0 then
      redis.call('XGROUP', 'DELCONSUMER', messages, group, name)
      forget(name)
    end
  end
end
for _, name in ipairs(redis.call('ZRANGE', KEYS[2], '-inf', int(now_ms), 'BYSCORE')) do
  local known = false
  for _, info in ipairs(consumers) do known = known or info[2] == name end
  if not known then forget(name) end
end

-- What is in the pool without a time was put there by a hand, or its time was lost: it is due.
if pooled ~= redis.call('ZCARD', KEYS[4]) then
  for _, held in ipairs(pooled > 0 and redis.call('XPENDING', messages, group, '-', '+', '1000', POOL) or {}) do
    redis.call('ZADD', KEYS[4], 'NX', int(now_ms), held[1])
  end
end
if not consumers.err then sweep(KEYS[5], KEYS[4], held_by_all) end
local due = redis.call('ZRANGE', KEYS[4], '-inf', int(now_ms), 'BYSCORE', 'LIMIT', '0', tostring(math.max(1, math.min(want, 1000))))
for _, id in ipairs(due) do
  if not room() then break end
  redis.call('ZREM', KEYS[4], id)
  if holds(messages, group, POOL, id) then
    local failures, crashes = attempts_of(redis.call('HGET', KEYS[5], id))
    take(id, failures, crashes, 0)
  else
    redis.call('HDEL', KEYS[5], id) -- a hand has deleted it, or had it given out before its time: whoever has it counts anew
  end
end

-- What is next. What is due already and was left waits for room, not for a time. One look lets delayed messages join for
-- all: that of one session (by the random end of its name, so another one in each shard). The others look some time later, in
-- case it does not: all of them by chance, so that the earliest is soon there, however many there are and are stuck.
local next_due = -1
local function first_after(key, later)
  local due = redis.call('ZRANGE', key, '(' .. int(now_ms), '+inf', 'BYSCORE', 'LIMIT', '0', '1', 'WITHSCORES')[2]
  due = due and tonumber(due) - now_ms + later
  if due and (next_due < 0 or due < next_due) then next_due = due end
end
first_after(KEYS[4], 0)
first_after(KEYS[6], first and 0 or 4 + now_us % (peers * 4000) / 1000)
if refused == '' and redis.call('ZCOUNT', KEYS[6], '-inf', int(now_ms)) > 0 then next_due = 0 end
if want > 0 and redis.call('ZCOUNT', KEYS[4], '-inf', int(now_ms)) > 0 then next_due = 0 end
local next_peer = -1
for _, text in ipairs(redis.call('ZRANGE', KEYS[2], '(' .. int(now_ms), '+inf', 'BYSCORE', 'LIMIT', '0', '2')) do
  if text ~= session and next_peer < 0 then next_peer = tonumber(redis.call('ZSCORE', KEYS[2], text)) - now_ms end
end
local reply = { 'OK', next_due, next_peer, mine + #taken / 5, more, paused and 1 or 0, refused }
for _, part in ipairs(taken) do reply[#reply + 1] = part end
return reply
