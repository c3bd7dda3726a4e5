#!lua flags=allow-oom
-- Take or keep the right to evaluate the cluster's alerts.
--
-- KEYS[1]  the lease    KEYS[2]  the last fence given
-- ARGV     owner, ms that the lease counts
-- Returns  the fence (0: somebody else has it), and the time in ms since the epoch
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local holder = redis.call('GET', KEYS[1])
if not holder then
  local fence = redis.call('INCR', KEYS[2])
  redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. fence, 'PX', ARGV[2])
  return {fence, now}
end
local mine = ARGV[1] .. ' '
if string.sub(holder, 1, #mine) ~= mine then return {0, now} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {tonumber(string.sub(holder, #mine + 1)), now}
