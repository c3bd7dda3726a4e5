-- Write or delete a value of `ctx.state`, if the writer still holds its conversation.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     conversation, claim, key, 'set' | 'delete', sealed value, ttl ms (0: none)
-- Returns  'lost' or ''
if redis.call('HGET', KEYS[1] .. 'claim', ARGV[1]) ~= ARGV[2] then return 'lost' end
if ARGV[4] == 'delete' then
  redis.call('DEL', ARGV[3])
elseif ARGV[6] == '0' then
  redis.call('SET', ARGV[3], ARGV[5])
else
  redis.call('SET', ARGV[3], ARGV[5], 'PX', ARGV[6])
end
return ''
