-- Finds the stream name in an announcement's fields. Answers name, or nil and the dead-letter reason.
-- The consumer checks the rest (UTF-8, depth, forbidden keys) where it does not cost server time.
local MAX_NAME_BYTES = 512

local function field(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
  return nil
end

local function stream_name(fields, max_bytes)
  local payload = field(fields, 'lbs-input')
  if not payload then return nil, 'missing-field' end
  if #payload > max_bytes then return nil, 'too-large' end
  local ok, message = pcall(cjson.decode, payload)
  if not ok then
    if string.find(tostring(message), 'nested', 1, true) then return nil, 'too-deep' end
    return nil, 'invalid-json'
  end
  if type(message) ~= 'table' then return nil, 'missing-stream-name' end
  local name = message['DataStreamName']
  if type(name) ~= 'string' or name == '' then return nil, 'missing-stream-name' end
  if #name > MAX_NAME_BYTES then return nil, 'invalid-stream-name' end
  return name, payload
end
