#!lua flags=allow-oom
-- Say that a node lives, unless another process holds its id.
--
-- KEYS[1]  the node's hash
-- ARGV     boot id, ms that the beat counts, then field, value…
-- Returns  '' or where the other holder is
local boot = redis.call('HGET', KEYS[1], 'boot')
if boot and boot ~= ARGV[1] then return redis.call('HGET', KEYS[1], 'where') or 'unknown' end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return ''
