-- Extend the leases of the claims that an owner still works on.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     lease ms, then conversation, claim for each
-- Returns  the conversations that another owner has
local root = KEYS[1]
local time = redis.call('TIME')
local expiry = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
local lost = {}
for i = 2, #ARGV, 2 do
  if redis.call('HGET', root .. 'claim', ARGV[i]) == ARGV[i + 1] then
    redis.call('ZADD', root .. 'lease', expiry, ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
