#!lua flags=allow-oom
-- Debits a bot's bucket of events, common to all gateways, and says what is left and what comes elsewhere.
--
-- KEYS[1]  hash: `level` (may be below zero: more came in than there was), `at` (ms), a gateway → `tried ms`
-- ARGV     this gateway, events a second, let in since the last call, come since then, ms after which a gateway is gone
-- Returns  {level as text, what came at the others since their last call, gateways}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local rate = tonumber(ARGV[2])
local most = math.max(1, rate)
local level, at, others, gateways = most, now, 0, 1
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local name, value = all[i], all[i + 1]
  if name == 'level' then
    level = tonumber(value)
  elseif name == 'at' then
    at = tonumber(value)
  elseif name ~= 'g:' .. ARGV[1] then
    local tried, told = string.match(value, '^(%d+) (%d+)$')
    if now - told > tonumber(ARGV[5]) then
      redis.call('HDEL', KEYS[1], name)
    else
      others, gateways = others + tried, gateways + 1
    end
  end
end
level = math.min(most, level + rate * math.max(0, now - at) / 1000) - ARGV[3]
-- Gateways that were all met by the same burst owe for one second at most.
level = math.max(-most, level)
local text = string.format('%.6f', level)
local mine = ARGV[4] .. ' ' .. string.format('%.0f', now)
redis.call('HSET', KEYS[1], 'level', text, 'at', string.format('%.0f', now), 'g:' .. ARGV[1], mine)
redis.call('PEXPIRE', KEYS[1], 60000)
return {text, others, gateways}
