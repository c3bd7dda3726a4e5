-- Which bots have events while none of their conversations stands anywhere.
--
-- KEYS[1]  any key of the slot
-- ARGV     root of the bot's keys for each
-- Returns  the numbers of those bots (from 1)
local out = {}
for i, root in ipairs(ARGV) do
  if tonumber(redis.call('GET', root .. 'depth') or 0) > 0 and redis.call('EXISTS', root .. 'claim') == 0 then
    out[#out + 1] = i
  end
end
return out
