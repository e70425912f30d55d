-- Sharded pub/sub where the server has it (7.0), else the classic kind; who listens decides by the same rule.
local function publish(channel, text)
  local reply = redis.pcall('SPUBLISH', channel, text)
  if type(reply) == 'table' and reply.err then redis.pcall('PUBLISH', channel, text) end
end
