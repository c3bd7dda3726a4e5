#!lua flags=allow-oom
-- Write, replace or delete a value of `ctx.state`, if the writer still holds its conversation.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     conversation, claim, key, 'set' | 'swap' | 'delete', sealed value, ttl ms (0: none), then for swap: the
--          sealed value that is to be there ('' for none), '1' where a value that is there keeps its time to live
-- Returns  'lost', '' (done), or for a swap that met another value: {that value, or false where there is none}
if redis.call('HGET', KEYS[1] .. 'claim', ARGV[1]) ~= ARGV[2] then return 'lost' end
local key = ARGV[3]
if ARGV[4] == 'delete' then
  redis.call('DEL', key)
  return ''
end
local keep = false
if ARGV[4] == 'swap' then
  -- No two seals are the same, even of one value: who has seen these bytes has seen the last write.
  local now = redis.call('GET', key)
  if (now or '') ~= ARGV[7] then return {now} end
  keep = now and ARGV[8] == '1'
end
if keep then
  redis.call('SET', key, ARGV[5], 'KEEPTTL')
elseif ARGV[6] == '0' then
  redis.call('SET', key, ARGV[5])
else
  redis.call('SET', key, ARGV[5], 'PX', ARGV[6])
end
return ''
