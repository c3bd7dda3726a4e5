#!lua flags=allow-oom
-- See that bots' logs have the archiver's group, which reads each from its beginning.
--
-- KEYS[1]  any key of the slot
-- ARGV     group, then root of the bot's keys for each
for i = 2, #ARGV do
  local made = redis.pcall('XGROUP', 'CREATE', ARGV[i] .. 'log', ARGV[1], '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
end
return 0
