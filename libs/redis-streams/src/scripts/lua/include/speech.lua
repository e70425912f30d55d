-- Whether this user may publish in a channel. Where not, a room would show its messages to nobody, and tell nobody so.
local speech = 'SPUBLISH'
local function may_publish(channel)
  if not redis.acl_check_cmd then return true end
  local known, allowed = pcall(redis.acl_check_cmd, speech, channel, '')
  if not known and speech == 'SPUBLISH' then
    speech = 'PUBLISH'
    known, allowed = pcall(redis.acl_check_cmd, speech, channel, '')
  end
  return not known or allowed
end
