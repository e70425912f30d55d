-- A producer's numbered batches. Sent again under its number a batch does nothing and answers what it answered then; one
-- that has overtaken the batch before it is sent back, so that order holds.
-- HASH of a producer: last -> number of its last batch, answers0...3 -> answers of the last four, each behind its number.
local batch_known

-- The answer, when the batch is not to be run. `settled`: the producer has settled everything up to this number.
-- A batch that is sent again writes, though nothing new: WAIT waits for what this very connection wrote.
local function recall(record, number, settled, keep_ms)
  batch_known = redis.call('HMGET', record, 'last')[1]
  local ahead = number - (batch_known or '0')
  if ahead <= 0 then
    local answers = redis.call('HMGET', record, 'answers' .. number % 4)[1]
    if not answers or string.find(answers, number .. ' ', 1, true) ~= 1 then return 'LATE' end
    redis.call('PEXPIRE', record, keep_ms)
    return answers
  end
  if ahead > 1 and number - settled > 1 then return 'GAP' end
end

-- Remembers the answers for `keep_ms` from now on, or 0: for as long as was said last; a record that is not there: `new_ms`.
local function remember(record, number, answers, keep_ms, new_ms)
  redis.call('HSET', record, 'answers' .. number % 4, answers, 'last', number)
  if not batch_known then keep_ms = new_ms end
  if keep_ms ~= '0' then redis.call('PEXPIRE', record, keep_ms) end
  return answers
end
