#!lua flags=allow-oom
-- Put bots on the wake list, each at most once.
--
-- KEYS[1]  wake list
-- ARGV     bots
for _, bot in ipairs(ARGV) do
  if not redis.call('LPOS', KEYS[1], bot) then redis.call('RPUSH', KEYS[1], bot) end
end
return 0
