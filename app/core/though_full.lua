#!lua flags=allow-oom
-- One write.
--
-- KEYS[1]  key
-- ARGV     command, what follows the key
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
