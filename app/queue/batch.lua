-- Open a batch: what its messages share, and how many they are; nothing changes where it is there.
--
-- KEYS[1]  the batch
-- ARGV     fingerprint, total, sealed content, ttl s
-- Returns  '=<fingerprint>' of the batch that is there, or ''
local known = redis.call('HGET', KEYS[1], 'fingerprint')
if known then return '=' .. known end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'total', ARGV[2], 'sealed', ARGV[3],
  'created', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('EXPIRE', KEYS[1], ARGV[4])
return ''
