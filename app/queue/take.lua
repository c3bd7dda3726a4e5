-- Take ready conversations of one bot: claim each with a fence and a lease, and start its first event.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     wake list or '', bot, owner, how many of `ready`, how many of `calls`, lease ms
-- Returns  {more (1: the bot has more ready, and with wake = '' the caller pushes its token), work…}; a work is
--          {conversation, fence, log id, starts, failures, held ms, entry, sealed}
local root, wake, owner = KEYS[1], ARGV[1], ARGV[3]
local time = redis.call('TIME')
local expiry = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[6]
local out = {0}

local function take(list, limit)
  while limit > 0 do
    local conversation = redis.call('LPOP', root .. list)
    if not conversation then return end
    local mail = root .. 'mail:' .. conversation
    local id, entry = redis.call('LINDEX', mail, 0), nil
    while id do
      entry = redis.call('XRANGE', root .. 'log', id, id)[1]
      if entry then break end
      redis.call('LPOP', mail) -- its log entry is gone: there is nothing to handle
      redis.call('DECR', root .. 'depth')
      redis.call('HDEL', root .. 'tries', id, id .. ':f', id .. ':h')
      id = redis.call('LINDEX', mail, 0)
    end
    if id then
      local fence = redis.call('INCR', root .. 'fence')
      redis.call('HSET', root .. 'claim', conversation, owner .. ' ' .. fence)
      redis.call('ZADD', root .. 'lease', expiry, conversation)
      local starts = redis.call('HINCRBY', root .. 'tries', id, 1)
      local past = starts > 1 and redis.call('HMGET', root .. 'tries', id .. ':f', id .. ':h') or {false, false}
      out[#out + 1] = {conversation, fence, id, starts, past[1] or 0, past[2] or 0, entry[2][2], entry[2][4]}
      limit = limit - 1
    else
      redis.call('HDEL', root .. 'claim', conversation)
    end
  end
end

take('calls', tonumber(ARGV[5]))
take('ready', tonumber(ARGV[4]))
local more = redis.call('LLEN', root .. 'ready') + redis.call('LLEN', root .. 'calls')
if more > 0 then
  out[1] = 1
  -- A callback brings a token of its own: without looking, each would leave its bot one more turn among the others.
  if wake ~= '' and not redis.call('LPOS', wake, ARGV[2]) then redis.call('RPUSH', wake, ARGV[2]) end
end
return out
