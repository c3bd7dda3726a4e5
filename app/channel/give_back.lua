-- Frees a slot that will not be used.
--
-- KEYS[1]  sorted set: grants
-- ARGV[1]  the slot

return redis.call('ZREM', KEYS[1], ARGV[1])
