-- Delays in a list of failures: "id=failures=ms left" in what is said, "id=failures=server ms at which it is over" in what is
-- kept, so that they go on while nobody owns the partition. Without the third part there is none to wait for; whoever
-- knows of two parts only reads no more than these.
local function due_at(failures)
  return (string.gsub(failures, '=(%d+)=(%d+)', function(count, left) return '=' .. count .. '=' .. int(now_ms + tonumber(left)) end))
end

local function left_of(failures)
  return (string.gsub(failures, '=(%d+)=(%d+)', function(count, due) return '=' .. count .. '=' .. int(math.max(0, tonumber(due) - now_ms)) end))
end
