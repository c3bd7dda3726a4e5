#!lua flags=allow-oom
-- Acknowledge archived log entries; whichever of handling and archiving comes second deletes the entry.
--
-- KEYS[1]  any key of the slot
-- ARGV     group, then root of the bot's keys, log id, '1' if nobody handles it (a sent message) for each
local group = ARGV[1]
for i = 2, #ARGV, 3 do
  local root, id = ARGV[i], ARGV[i + 1]
  if redis.call('XACK', root .. 'log', group, id) == 1 then
    if ARGV[i + 2] == '1' or redis.call('SREM', root .. 'half', id) == 1 then
      redis.call('XDEL', root .. 'log', id)
    else
      redis.call('SADD', root .. 'half', id)
    end
  end
end
