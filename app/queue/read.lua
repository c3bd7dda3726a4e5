-- Read new entries of one bot's log, where one read of all bots' cannot be (Cluster).
--
-- KEYS[1]  root of the bot's keys
-- ARGV     group, consumer, how many
-- Returns  as XREADGROUP, false where there are none
return redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3], 'STREAMS', KEYS[1] .. 'log', '>')
