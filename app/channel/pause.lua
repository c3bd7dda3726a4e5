-- Notes that Feishu asked to pause; a longer pause that is known already stays.
--
-- KEYS[1]  string: until when, microseconds since the epoch
-- ARGV[1]  how long, microseconds

local time = redis.call('TIME')
local till = tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[1])
if till > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], string.format('%.0f', till), 'PX', math.ceil(tonumber(ARGV[1]) / 1000))
end
