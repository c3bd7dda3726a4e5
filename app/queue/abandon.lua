#!lua flags=allow-oom
-- Give free at once what a worker holds that is dead, or that is blocked and retires, and see that every bot with
-- ready conversations has a wake token: the worker may have swallowed one.
--
-- KEYS[1]  any key of the slot
-- ARGV     wake list or '', what the claims to be freed begin with, '1' to take the starts back (it lives: nobody died with its events), then root,
--          bot for each bot
-- Returns  {how many conversations, bots to wake…, damaged bots} (those to wake only where wake is '')
local wake, owner = ARGV[1], ARGV[2]
local out = {0}

local function free(root, bot)
  local claims = redis.call('HGETALL', root .. 'claim')
  for c = 1, #claims, 2 do
    local conversation = claims[c]
    if string.sub(claims[c + 1], 1, #owner) == owner then
      local event = redis.call('LINDEX', root .. 'mail:' .. conversation, 0)
      redis.call('ZREM', root .. 'lease', conversation)
      if event then
        if ARGV[3] == '1' then redis.call('HINCRBY', root .. 'tries', event, -1) end
        redis.call('HSET', root .. 'claim', conversation, 'r')
        local list = string.sub(conversation, 1, 5) == 'call:' and 'calls' or 'ready'
        redis.call('LPUSH', root .. list, conversation)
      else
        redis.call('HDEL', root .. 'claim', conversation)
      end
      out[1] = out[1] + 1
    end
  end
  if redis.call('LLEN', root .. 'ready') + redis.call('LLEN', root .. 'calls') > 0 then
    if wake == '' then
      out[#out + 1] = bot
    elseif not redis.call('LPOS', wake, bot) then
      redis.call('RPUSH', wake, bot)
    end
  end
end

for i = 4, #ARGV, 2 do spared(ARGV[i + 1], free, ARGV[i], ARGV[i + 1]) end
out[#out + 1] = damaged
return out
