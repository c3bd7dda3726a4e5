-- Which bots have events while none of their conversations stands anywhere.
--
-- KEYS[1]  any key of the slot
-- ARGV     root of the bot's keys, bot for each
-- Returns  the numbers of those bots (from 1), then damaged bots
local out = {}

local function look(number, root)
  if tonumber(redis.call('GET', root .. 'depth') or 0) > 0 and redis.call('EXISTS', root .. 'claim') == 0 then
    out[#out + 1] = number
  end
end

for i = 1, #ARGV, 2 do spared(ARGV[i + 1], look, (i + 1) / 2, ARGV[i]) end
out[#out + 1] = damaged
return out
