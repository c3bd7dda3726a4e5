#!lua flags=allow-oom
-- Take over what a node found and told while Redis was away.
--
-- KEYS[1]  states    KEYS[2]  history
-- ARGV     length of the history, how many alerts, then alert, state, …, then entries of the history
-- An alert that the cluster has as firing stays as it is: it was told of too.
local alerts = tonumber(ARGV[2])
local at = 3
for _ = 1, alerts do
  local known = redis.call('HGET', KEYS[1], ARGV[at])
  if not known or cjson.decode(known)['state'] ~= 'firing' then redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
  at = at + 2
end
for index = at, #ARGV do redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', 'e', ARGV[index]) end
return 1
