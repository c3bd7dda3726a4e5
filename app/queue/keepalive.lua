-- Extend the leases of the claims that their owner still works on.
--
-- KEYS[1]  any key of the slot
-- ARGV     lease ms, then root of the bot's keys, conversation, claim for each
-- Returns  the numbers (from 1) of those that another owner has
local time = redis.call('TIME')
local expiry = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
local lost = {}
for i = 2, #ARGV, 3 do
  local root, conversation = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', root .. 'claim', conversation) == ARGV[i + 2] then
    redis.call('ZADD', root .. 'lease', expiry, conversation)
  else
    lost[#lost + 1] = (i + 1) / 3
  end
end
return lost
