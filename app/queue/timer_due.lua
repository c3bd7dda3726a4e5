-- The timers of a bot that are due, oldest first.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     how many at most
-- Returns  {now ms, then three a timer: its name, when it was due, its schedule or sealed reminder ('' where that is gone)}
local root = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGE', root .. 'timers', '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1], 'WITHSCORES')
local out = {now}
for i = 1, #due, 2 do
  local kind, name = string.sub(due[i], 1, 2), string.sub(due[i], 3)
  out[#out + 1] = due[i]
  out[#out + 1] = due[i + 1]
  out[#out + 1] = redis.call('HGET', root .. (kind == 's:' and 'schedules' or 'reminders'), name) or ''
end
return out
