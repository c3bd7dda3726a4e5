#!lua flags=allow-oom
-- Make the schedules of a bot those that its handler and its directory declare; what is unchanged keeps its time.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     three a schedule: its name, the schedule, when it is due next
local root, wanted = KEYS[1], {}
local schedules, timers = root .. 'schedules', root .. 'timers'
for i = 1, #ARGV, 3 do
  local name, member = ARGV[i], 's:' .. ARGV[i]
  wanted[name] = true
  if redis.call('HGET', schedules, name) ~= ARGV[i + 1] then
    redis.call('HSET', schedules, name, ARGV[i + 1])
    -- Who paused it did not mean only the time that it had then.
    if redis.call('ZSCORE', timers, member) ~= 'inf' then redis.call('ZADD', timers, ARGV[i + 2], member) end
  end
end
for _, name in ipairs(redis.call('HKEYS', schedules)) do
  if not wanted[name] then
    redis.call('HDEL', schedules, name)
    redis.call('ZREM', timers, 's:' .. name)
  end
end
