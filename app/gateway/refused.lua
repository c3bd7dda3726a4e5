#!lua flags=allow-oom
-- Adds to the counts of refused requests of one bot, common to all gateways.
--
-- KEYS[1]  hash: digest of an address → count; the whole of it ends with its window
-- ARGV     window (ms), addresses at most; then pairs: digest, how many more
-- Returns  the counts, in order; 0 where there is no room for the address
local counts = {}
for i = 3, #ARGV, 2 do
  local count = 0
  if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 1 or redis.call('HLEN', KEYS[1]) < tonumber(ARGV[2]) then
    count = redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
  end
  counts[#counts + 1] = count
end
if redis.call('PTTL', KEYS[1]) == -1 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return counts
