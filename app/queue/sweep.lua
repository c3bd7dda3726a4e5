#!lua flags=allow-oom
-- Make ready what is due or was left behind, and see that every bot with ready conversations has a wake token.
--
-- KEYS[1]  when these bots were swept last: '<ms> <ms of the last reprieve>' (routes the call on Cluster)
-- ARGV     wake list or '', lease ms, longest gap ms between sweeps, ttl ms of KEYS[1],
--          '1' if the caller swept before (then a missing KEYS[1] is a gap too), then root, bot for each bot
-- Returns  {claims expired, claims reprieved, retries due, single events due, bots to wake…, damaged bots} (those to wake
--          only where wake is '')
local wake, lease = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local out = {0, 0, 0, 0}

-- While Redis was away nobody could extend a lease: after a gap each has one more, or every event under way would
-- count a death. At most once in two leases, or slow sweeps would keep the claims of the dead for ever.
local swept, reprieved = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
local reprieve = (not swept or now - swept > tonumber(ARGV[3])) and now - (reprieved or 0) > 2 * lease
-- Nobody knows of an earlier sweep: what ran out long ago is from before the cluster's stop, its owners are gone.
local since = (swept or ARGV[5] == '1') and '-inf' or now - 2 * lease
redis.call('SET', KEYS[1], string.format('%.0f %.0f', now, reprieve and now or reprieved or 0), 'PX', ARGV[4])

local function sweep(root, bot)
  local claims, ready = root .. 'claim', root .. 'ready'

  local function list(conversation)
    return string.sub(conversation, 1, 5) == 'call:' and root .. 'calls' or ready
  end

  -- What says that it is due goes last: should a key be damaged, it is due again once that is mended.
  local function free(conversation)
    if redis.call('EXISTS', root .. 'mail:' .. conversation) == 1 then
      redis.call('HSET', claims, conversation, 'r')
      redis.call('LPUSH', list(conversation), conversation)
    else
      redis.call('HDEL', claims, conversation)
    end
    redis.call('ZREM', root .. 'lease', conversation)
  end

  if reprieve then
    for _, conversation in ipairs(redis.call('ZRANGEBYSCORE', root .. 'lease', since, now + lease)) do
      redis.call('ZADD', root .. 'lease', now + lease, conversation)
      out[2] = out[2] + 1
    end
  end
  for _, conversation in ipairs(redis.call('ZRANGEBYSCORE', root .. 'lease', '-inf', now)) do
    free(conversation)
    out[1] = out[1] + 1
  end
  for _, conversation in ipairs(redis.call('ZRANGEBYSCORE', root .. 'delayed', '-inf', now)) do
    free(conversation)
    redis.call('ZREM', root .. 'delayed', conversation)
    out[3] = out[3] + 1
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', root .. 'later', '-inf', now)) do
    local gap = string.find(member, ' ', 1, true)
    local conversation = string.sub(member, gap + 1)
    redis.call('RPUSH', root .. 'mail:' .. conversation, string.sub(member, 1, gap - 1))
    redis.call('ZREM', root .. 'later', member)
    if redis.call('HSETNX', claims, conversation, 'r') == 1 then redis.call('RPUSH', list(conversation), conversation) end
    out[4] = out[4] + 1
  end
  if redis.call('LLEN', ready) + redis.call('LLEN', root .. 'calls') > 0 then
    if wake == '' then
      out[#out + 1] = bot
    elseif not redis.call('LPOS', wake, bot) then
      redis.call('RPUSH', wake, bot)
    end
  end
end

for i = 6, #ARGV, 2 do
  local root = ARGV[i]
  -- Most of a thousand bots have nothing: one look tells.
  if redis.call('EXISTS', root .. 'lease', root .. 'delayed', root .. 'later', root .. 'ready', root .. 'calls') > 0 then
    spared(ARGV[i + 1], sweep, root, ARGV[i + 1])
  end
end
out[#out + 1] = damaged
return out
