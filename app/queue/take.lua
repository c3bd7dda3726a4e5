#!lua flags=allow-oom
-- Take ready conversations of one bot: claim each with a fence and a lease, and start its first event.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     wake list or '', bot, owner, how many of `ready`, how many of `calls`, lease ms
-- Returns  {more (1: the bot has more ready, and with wake = '' the caller pushes its token), work…}, as start.lua has it
local root, wake, owner = KEYS[1], ARGV[1], ARGV[3]
local time = redis.call('TIME')
local expiry = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[6]
local out = {0}
take(root, 'calls', owner, expiry, tonumber(ARGV[5]), out)
take(root, 'ready', owner, expiry, tonumber(ARGV[4]), out)
local more = redis.call('LLEN', root .. 'ready') + redis.call('LLEN', root .. 'calls')
if more > 0 then
  out[1] = 1
  -- A callback brings a token of its own: without looking, each would leave its bot one more turn among the others.
  if wake ~= '' and not redis.call('LPOS', wake, ARGV[2]) then redis.call('RPUSH', wake, ARGV[2]) end
end
return out
