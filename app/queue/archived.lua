-- Acknowledge archived log entries; whichever of handling and archiving comes second deletes the entry.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     group, then log id, '1' if nobody handles it (a sent message) for each
-- Returns  how many entries were deleted
local root, group = KEYS[1], ARGV[1]
local gone = 0
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('XACK', root .. 'log', group, id) == 1 then
    if ARGV[i + 1] == '1' or redis.call('SREM', root .. 'half', id) == 1 then
      gone = gone + redis.call('XDEL', root .. 'log', id)
    else
      redis.call('SADD', root .. 'half', id)
    end
  end
end
return gone
