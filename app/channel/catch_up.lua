#!lua flags=allow-oom
-- Notes slots that a node granted by itself while Redis was away.
--
-- KEYS[1]  sorted set: grants
-- ARGV[1]  how long grants are remembered, ms
-- ARGV[2…] the slots

for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i])
end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
