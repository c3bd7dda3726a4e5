#!lua flags=allow-oom
-- Set timers on, or end them, unless somebody else did: each only from the time that the caller saw.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     three a timer: its name, when it was due as the caller saw it, when it is due next or '' for never again
-- Returns  how many were set
local root = KEYS[1]
local set = 0
for i = 1, #ARGV, 3 do
  local member, score = ARGV[i], redis.call('ZSCORE', root .. 'timers', ARGV[i])
  if score and tonumber(score) == tonumber(ARGV[i + 1]) then
    set = set + 1
    if ARGV[i + 2] ~= '' then
      redis.call('ZADD', root .. 'timers', ARGV[i + 2], member)
    else
      redis.call('ZREM', root .. 'timers', member)
      local kind, name = string.sub(member, 1, 2), string.sub(member, 3)
      redis.call('HDEL', root .. (kind == 's:' and 'schedules' or 'reminders'), name)
    end
  end
end
return set
