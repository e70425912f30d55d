-- A dead letter: its fields by name, and the fields of the entry it was made of, in order. Nil when there is none.
local function letter_at(dead, id)
  local row = redis.call('XRANGE', dead, id, id)[1]
  if not row then return nil end
  local letter, entry, fields = {}, {}, row[2]
  for i = 1, #fields, 2 do
    local own = string.match(fields[i], '^entry%.(.*)$')
    if own then
      entry[#entry + 1], entry[#entry + 2] = own, fields[i + 1]
    elseif letter[fields[i]] == nil then
      letter[fields[i]] = fields[i + 1]
    end
  end
  return letter, entry
end

-- Whether somebody will ever handle what is for this group alone.
local function has_group(stream, group)
  local infos = redis.pcall('XINFO', 'GROUPS', stream)
  for _, info in ipairs(infos) do
    for i = 1, #info, 2 do
      if info[i] == 'name' and info[i + 1] == group then return true end
    end
  end
  return false
end

-- What a batch was answered when it came before; {} when later ones were answered since: nobody listens any more.
local function answered(record, batch)
  local known = redis.call('HMGET', record, 'batch', 'answers')
  if not known[1] or tonumber(known[1]) < tonumber(batch) then return nil end
  local answers = {}
  if known[1] == batch then
    for answer in string.gmatch(known[2], '%S+') do answers[#answers + 1] = answer end
  end
  return answers
end

local function remember(record, batch, keep_ms, answers)
  redis.call('HSET', record, 'batch', batch, 'answers', table.concat(answers, ' '))
  redis.call('PEXPIRE', record, keep_ms)
  return answers
end
