-- Drops the shared token, unless another node has put a new one there meanwhile.
--
-- KEYS[1]  string: the sealed token
-- ARGV[1]  the sealed token as it was read

if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
