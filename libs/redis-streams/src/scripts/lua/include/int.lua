local function int(n)
  return string.format('%.0f', n)
end
