-- Make ready what is due or was left behind, and see that every bot with ready conversations has a wake token.
--
-- KEYS[1]  any key of the slot
-- ARGV     wake list or '', owner whose claims are void at once or '', then root, bot for each bot
-- Returns  {claims expired, retries due, single events due, bots to wake…} (the bots only where wake is '')
local wake, dead_owner = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local out = {0, 0, 0}
for i = 3, #ARGV, 2 do
  local root, bot = ARGV[i], ARGV[i + 1]
  local claims, ready = root .. 'claim', root .. 'ready'

  local function free(conversation)
    redis.call('ZREM', root .. 'lease', conversation)
    if redis.call('EXISTS', root .. 'mail:' .. conversation) == 1 then
      redis.call('HSET', claims, conversation, 'r')
      redis.call('LPUSH', string.sub(conversation, 1, 5) == 'call:' and root .. 'calls' or ready, conversation)
    else
      redis.call('HDEL', claims, conversation)
    end
  end

  if dead_owner ~= '' then
    local all = redis.call('HGETALL', claims)
    for c = 1, #all, 2 do
      if string.sub(all[c + 1], 1, #dead_owner + 1) == dead_owner .. ' ' then
        free(all[c])
        out[1] = out[1] + 1
      end
    end
  end
  for _, conversation in ipairs(redis.call('ZRANGEBYSCORE', root .. 'lease', '-inf', now)) do
    free(conversation)
    out[1] = out[1] + 1
  end
  for _, conversation in ipairs(redis.call('ZRANGEBYSCORE', root .. 'delayed', '-inf', now)) do
    redis.call('ZREM', root .. 'delayed', conversation)
    free(conversation)
    out[2] = out[2] + 1
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', root .. 'later', '-inf', now)) do
    redis.call('ZREM', root .. 'later', member)
    local gap = string.find(member, ' ', 1, true)
    local conversation = string.sub(member, gap + 1)
    redis.call('RPUSH', root .. 'mail:' .. conversation, string.sub(member, 1, gap - 1))
    if redis.call('HSETNX', claims, conversation, 'r') == 1 then redis.call('RPUSH', ready, conversation) end
    out[3] = out[3] + 1
  end
  if redis.call('LLEN', ready) + redis.call('LLEN', root .. 'calls') > 0 then
    if wake == '' then
      out[#out + 1] = bot
    elseif not redis.call('LPOS', wake, bot) then
      redis.call('RPUSH', wake, bot)
    end
  end
end
return out
