#!lua flags=allow-oom
-- Put a dead letter back at the end of its conversation, as a new intention.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     wake list or '', bot, dead letter id, entry (with its new replay count)
-- Returns  '' (no such letter), '+<log id>' or '!<log id>' (the caller wakes the bot)
local root = KEYS[1]
local letter = redis.call('XRANGE', root .. 'dead', ARGV[3], ARGV[3])[1]
if not letter then return '' end
local fields = {}
for i = 1, #letter[2], 2 do fields[letter[2][i]] = letter[2][i + 1] end
local id = redis.call('XADD', root .. 'log', '*', 'e', ARGV[4], 's', fields['s'])
redis.call('RPUSH', root .. 'mail:' .. fields['c'], id)
redis.call('INCR', root .. 'depth')
redis.call('XDEL', root .. 'dead', ARGV[3])
if redis.call('HSETNX', root .. 'claim', fields['c'], 'r') == 1 and redis.call('RPUSH', root .. 'ready', fields['c']) == 1 then
  if ARGV[1] == '' then return '!' .. id end
  redis.call('RPUSH', ARGV[1], ARGV[2])
end
return '+' .. id
