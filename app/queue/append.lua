#!lua flags=allow-oom
-- Add a sent message to the bot's log, for the archiver.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     entry, sealed payload
return redis.call('XADD', KEYS[1] .. 'log', '*', 'e', ARGV[1], 's', ARGV[2])
