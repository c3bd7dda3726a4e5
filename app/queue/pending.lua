-- Which bots' logs hold entries that an archiver has read and not acknowledged.
--
-- KEYS[1]  any key of the slot
-- ARGV     group, then root of the bot's keys for each
-- Returns  the numbers of those bots (from 1)
local out = {}
for i = 2, #ARGV do
  local found = redis.pcall('XPENDING', ARGV[i] .. 'log', ARGV[1])
  -- Without the group there is nothing: it is made again at the next read.
  if not found.err and found[1] > 0 then out[#out + 1] = i - 1 end
end
return out
