-- How many entries of bots' logs wait to be archived.
--
-- KEYS[1]  any key of the slot
-- ARGV     group, then root of the bot's keys for each
local waiting = 0
for i = 2, #ARGV do
  local log = ARGV[i] .. 'log'
  local groups = redis.pcall('XINFO', 'GROUPS', log)
  if not groups.err then -- there is a stream
    local behind, pending = false, 0
    for _, group in ipairs(groups) do
      for at = 1, #group, 2 do
        if group[at] == 'name' and group[at + 1] ~= ARGV[1] then break end
        if group[at] == 'lag' then behind = group[at + 1] end
        if group[at] == 'pending' then pending = group[at + 1] end
      end
    end
    -- Without a group yet, and where Redis lost count after deletions, it is at most all that is there.
    waiting = waiting + (behind and behind + pending or redis.call('XLEN', log))
  end
end
return waiting
