#!lua flags=allow-oom
-- Let go of a conversation whose event is not finished: to wait for a retry, or to be taken at once by another.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     wake list or '', bot, conversation, claim, log id, 'retry' | 'wait' (takes the start back) |
--          'release' (the same), delay ms
-- Returns  'lost', {} or {'wake'} (the caller wakes the bot)
local root, wake, conversation, claim, id = KEYS[1], ARGV[1], ARGV[3], ARGV[4], ARGV[5]
if redis.call('HGET', root .. 'claim', conversation) ~= claim then return 'lost' end
redis.call('ZREM', root .. 'lease', conversation)
local head = redis.call('LINDEX', root .. 'mail:' .. conversation, 0)
if not head then
  redis.call('HDEL', root .. 'claim', conversation)
  return {}
end
-- A finish whose reply was lost has ended the event and started the next: then that one is handed back.
local how = head == id and ARGV[6] or 'release'
if how == 'retry' then
  redis.call('HINCRBY', root .. 'tries', id .. ':f', 1)
  redis.call('HINCRBY', root .. 'tries', id .. ':h', ARGV[7])
else
  redis.call('HINCRBY', root .. 'tries', head, -1)
end
if how ~= 'release' then
  local time = redis.call('TIME')
  redis.call('HSET', root .. 'claim', conversation, 'd')
  redis.call('ZADD', root .. 'delayed', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[7], conversation)
  return {}
end
local list = string.sub(conversation, 1, 5) == 'call:' and 'calls' or 'ready'
redis.call('HSET', root .. 'claim', conversation, 'r')
if redis.call('LPUSH', root .. list, conversation) == 1 then
  if wake == '' then return {'wake'} end
  redis.call('RPUSH', wake, ARGV[2])
end
return {}
