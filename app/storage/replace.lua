#!lua flags=allow-oom
-- Write a value in place of another, unless it was changed meanwhile.
--
-- KEYS[1]  key
-- ARGV     value that was read, value to write
-- Returns  1 when it was written, 0 when another value stands there
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
