-- Keep a reminder until it is due, if the writer still holds its conversation; one that is there already stays.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     conversation, claim, reminder id, delay ms, entry and sealed payload
-- Returns  'lost', or when it is due, ms
local root, id = KEYS[1], ARGV[3]
if redis.call('HGET', root .. 'claim', ARGV[1]) ~= ARGV[2] then return 'lost' end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- The event that made it may be handled again, even after the reminder was: the mark, written last, outlives the event.
local mark = root .. 'seen:set:' .. id
if redis.call('EXISTS', mark) == 0 then
  redis.call('HSET', root .. 'reminders', id, ARGV[5])
  redis.call('ZADD', root .. 'timers', now + ARGV[4], 'r:' .. id)
  redis.call('SET', mark, 1, 'EX', 172800)
end
return redis.call('ZSCORE', root .. 'timers', 'r:' .. id) or now
