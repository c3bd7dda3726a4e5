-- How much ever went through the logs of bots.
--
-- KEYS[1]  any key of the slot
-- ARGV     log, dead letters for each bot
-- Returns  four for each bot through which anything went: its number among ARGV's (from 1), entries ever added to its log,
--          the last one's id, dead letters ever added
local function stood(name)
  local found = redis.pcall('XINFO', 'STREAM', name)
  local added, last = 0, ''
  if not found.err then
    for i = 1, #found, 2 do
      if found[i] == 'entries-added' then added = found[i + 1] end
      if found[i] == 'last-generated-id' then last = found[i + 1] end
    end
  end
  return added, last
end

local out = {}
for i = 1, #ARGV, 2 do
  local added, last = stood(ARGV[i])
  local dead = stood(ARGV[i + 1])
  if added + dead > 0 then
    for _, one in ipairs({(i + 1) / 2, added, last, dead}) do out[#out + 1] = one end
  end
end
return out
