#!lua flags=allow-oom
-- Extend the leases of the claims that their owner still works on.
--
-- KEYS[1]  any key of the slot
-- ARGV     lease ms, then root of the bot's keys, conversation, claim for each
-- Returns  the numbers (from 1) of those that another owner has
local time = redis.call('TIME')
local expiry = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
local lost = {}

local function extend(number, root, conversation, claim)
  if redis.call('HGET', root .. 'claim', conversation) == claim then
    redis.call('ZADD', root .. 'lease', expiry, conversation)
  else
    lost[#lost + 1] = number
  end
end

-- Bots whose keys are damaged are named by the sweep.
for i = 2, #ARGV, 3 do spared('', extend, (i + 1) / 3, ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
return lost
