#!lua flags=allow-oom
-- The sent record of an event, written only by who holds the event's conversation.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     conversation, claim, event id, 'begin' | 'record' | 'forget' | 'open', field, message id, ttl s
-- Returns  'lost', or for begin: '' (nothing known), '?<ms>' (begun then, outcome unknown), '=<message id>' (sent);
--          for open: how often it was opened, a space, and what is known, as for begin
local root = KEYS[1]
if redis.call('HGET', root .. 'claim', ARGV[1]) ~= ARGV[2] then return 'lost' end
local key, field = root .. 'sent:' .. ARGV[3], ARGV[5]
if ARGV[4] == 'forget' then
  redis.call('HDEL', key, field)
  return ''
end
local known = redis.call('HGET', key, field)
if ARGV[4] == 'open' then
  local turn = redis.call('HINCRBY', key, field .. ':turn', 1)
  redis.call('EXPIRE', key, ARGV[7])
  return turn .. ' ' .. (known or '')
end
if ARGV[4] == 'record' then
  redis.call('HSET', key, field, '=' .. ARGV[6])
elseif not known then
  local time = redis.call('TIME')
  redis.call('HSET', key, field, '?' .. (time[1] * 1000 + math.floor(time[2] / 1000)))
end
-- Also where it is only asked for: as long as the event is handled again, its record lives on.
redis.call('EXPIRE', key, ARGV[7])
return ARGV[4] == 'begin' and known or ''
