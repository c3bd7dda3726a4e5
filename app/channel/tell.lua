#!lua flags=allow-oom
-- A process tells what it used of the limits, and is counted among those that send.
--
-- KEYS[1]  sorted set: processes that send, by when they told last, ms
-- KEYS[2]  string: what this one tells
-- ARGV[1]  its name
-- ARGV[2]  what it tells
-- ARGV[3]  how long that is good, ms
-- Returns how many processes send.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
redis.call('PEXPIRE', KEYS[1], 60000)
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return redis.call('ZCARD', KEYS[1])
