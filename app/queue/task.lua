#!lua flags=allow-oom
-- Note how far a task is, if the writer still holds its conversation.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     conversation, claim, task id, status, progress or '', sealed note or '', '1' where the status is an end,
--          ttl ms, longest ttl ms of all tasks
-- Returns  'lost' or ''
local root, id = KEYS[1], ARGV[3]
if redis.call('HGET', root .. 'claim', ARGV[1]) ~= ARGV[2] then return 'lost' end
local key, index = root .. 'task:' .. id, root .. 'tasks'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSETNX', key, 'created', now)
redis.call('HSET', key, 'status', ARGV[4], 'updated', now)
if ARGV[5] ~= '' then redis.call('HSET', key, 'progress', ARGV[5]) end
if ARGV[6] ~= '' then redis.call('HSET', key, 'note', ARGV[6]) end
if ARGV[7] == '1' then redis.call('HSETNX', key, 'ended', now) else redis.call('HDEL', key, 'ended') end
redis.call('PEXPIRE', key, ARGV[8])
redis.call('ZADD', index, now, id)
redis.call('ZREMRANGEBYSCORE', index, '-inf', now - ARGV[9])
redis.call('PEXPIRE', index, ARGV[9])
redis.call('PUBLISH', key, ARGV[4])
return ''
