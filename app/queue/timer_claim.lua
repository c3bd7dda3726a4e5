#!lua flags=allow-oom
-- Whose timers are due: each bot is the caller's for a while, so that nodes do not do the same work.
--
-- KEYS[1]  the index: each bot by when its next timer is due, ms
-- ARGV     how many bots at most, ms for which they are the caller's
-- Returns  {now ms, the end of these turns in ms, when the next bot is due or '', bots…}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local bots = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, bot in ipairs(bots) do
  redis.call('ZADD', KEYS[1], now + ARGV[2], bot)
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {now, now + ARGV[2], first[2] or '', unpack(bots)}
