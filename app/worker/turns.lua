#!lua flags=allow-oom
-- Count a turn that a bot takes with other bots in one chat, within the minute that the first one opened.
--
-- KEYS[1]  counter
-- ARGV     window ms
-- Returns  how many turns there were, this one included
local turns = redis.call('INCR', KEYS[1])
if turns == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return turns
