-- How long ago a log entry was written, by the clock that numbered it.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     log id
-- Returns  ms
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000) - string.match(ARGV[1], '^%d+')
