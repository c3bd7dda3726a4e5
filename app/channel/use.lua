-- How a bound is used: a grant in the past was used, one in the future is waited for.
--
-- KEYS[1]  sorted set: grants, member = score = microseconds since the epoch
-- KEYS[2]  string: until when Feishu asked to pause (see pause.lua)
-- ARGV[…]  spans, microseconds
-- Returns {now, the last grant or 0, paused until or 0, used in the first span, …}.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = redis.call('ZRANGE', KEYS[1], -1, -1)[1]
local paused = redis.call('GET', KEYS[2])
local found = {now, tonumber(last or '0'), paused and tonumber(string.match(paused, '^%d+')) or 0}
for i = 1, #ARGV do
  local from = string.format('(%.0f', now - tonumber(ARGV[i]))
  found[#found + 1] = redis.call('ZCOUNT', KEYS[1], from, string.format('%.0f', now))
end
return found
