-- A lease record: "entry token owner attempt failures since previous takeovers", blank-separated so that HGET shows it.
--   owner     session id while held (name:incarnation), else one of queued | retrying | released
--   attempt   grants so far; failures: handler failures in a row without progress
--   since     server ms at which this state was entered; previous: session id of the last owner, or -
--   takeovers dead owners in a row without a sign of life (a checkpoint, a failure, a release)
local function read_record(leases, stream)
  local raw = redis.call('HGET', leases, stream)
  if not raw then return nil end
  local entry, token, owner, attempt, failures, since, previous, takeovers =
    string.match(raw, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  if not entry then return nil end
  return { entry = entry, token = token, owner = owner, attempt = tonumber(attempt),
    failures = tonumber(failures), since = since, previous = previous, takeovers = tonumber(takeovers) }
end

local function write_record(leases, stream, r)
  redis.call('HSET', leases, stream,
    r.entry .. ' ' .. r.token .. ' ' .. r.owner .. ' ' .. int(r.attempt) .. ' ' .. int(r.failures) ..
    ' ' .. r.since .. ' ' .. r.previous .. ' ' .. int(r.takeovers or 0))
end

local POOL = 'unassigned' -- consumer that holds what waits for an owner; no session id lacks a colon
