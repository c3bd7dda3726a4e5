#!lua flags=allow-oom
-- Counts calls of an account's month.
--
-- KEYS[1]  number: calls of that month
-- KEYS[2]  string: the month of which Feishu said that it is used up
-- ARGV[1]  calls made
-- ARGV[2]  how long the number is kept, ms
-- Returns {calls of the month, the month that is used up or ''}.

local used = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {used, redis.call('GET', KEYS[2]) or ''}
