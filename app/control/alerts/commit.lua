#!lua flags=allow-oom
-- Keep what an evaluation found, whole or not at all.
--
-- KEYS[1]  the lease    KEYS[2]  states    KEYS[3]  notices    KEYS[4]  history
-- ARGV     owner and fence, length of the history, how many states, then
--          alert, state before, state after ('' is none), …,
--          how many notices, then id, notice, …, then entries of the history
-- Returns  1; 0 where the lease was lost or a state is not what the evaluation began with
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local states = tonumber(ARGV[3])
local at = 4
for _ = 1, states do
  if (redis.call('HGET', KEYS[2], ARGV[at]) or '') ~= ARGV[at + 1] then return 0 end
  at = at + 3
end
at = 4
for _ = 1, states do
  if ARGV[at + 2] == '' then redis.call('HDEL', KEYS[2], ARGV[at])
  else redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 2]) end
  at = at + 3
end
local notices = tonumber(ARGV[at])
at = at + 1
for _ = 1, notices do
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
for index = at, #ARGV do redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[index]) end
return 1
