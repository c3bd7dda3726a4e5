-- How much lies in the queues of bots, inbox and outbox.
--
-- KEYS[1]  any key of the slot
-- ARGV     bot, root, root of the outbox for each bot
-- Returns  six for each bot where something lies: its number among ARGV's (from 1), events that wait or are handled, dead
--          letters, messages of the outbox, how many of those are for later, since when the oldest is due (ms, or '');
--          then damaged bots
local out = {}

local function count(number, root, box)
  local waiting, dead = redis.call('GET', root .. 'depth') or '0', redis.call('XLEN', root .. 'dead')
  local kept = redis.call('GET', box .. 'depth') or '0'
  if waiting ~= '0' or dead > 0 or kept ~= '0' then
    local later, oldest = 0, ''
    if kept ~= '0' then
      later = redis.call('ZCARD', box .. 'later')
      oldest = redis.call('ZRANGE', box .. 'due', 0, 0, 'WITHSCORES')[2] or ''
    end
    for _, one in ipairs({number, waiting, dead, kept, later, oldest}) do out[#out + 1] = one end
  end
end

for i = 1, #ARGV, 3 do spared(ARGV[i], count, (i + 2) / 3, ARGV[i + 1], ARGV[i + 2]) end
out[#out + 1] = damaged
return out
