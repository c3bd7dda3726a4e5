#!lua flags=allow-oom
-- The state of a message of the outbox: a step of who holds its conversation, or a cancellation by anybody.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     'begin' | 'sent' | 'again' | 'waits' | 'failed' | 'cancelled', id, conversation, claim, ttl s of what is final,
--          then for sent: message id; for waits and failed: reason
-- Returns  'lost' (another owner has the conversation); for begin: '' (send it), '?<ms>' (begun then, outcome unknown),
--          '=<message id>' (sent), '!' (failed or cancelled); for cancelled: the state in which it is now, or ''
local root, step, id, ttl = KEYS[1], ARGV[1], ARGV[2], ARGV[5]
local box, record = root .. 'out:', root .. 'msg:' .. id
if step ~= 'cancelled' and redis.call('HGET', box .. 'claim', ARGV[3]) ~= ARGV[4] then return 'lost' end
local known = redis.call('HMGET', record, 'state', 'since', 'message_id', 'log', 'conversation', 'batch')
local state = known[1]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local function change(to)
  redis.call('HSET', record, 'state', to, 'changed', now)
  redis.call('PUBLISH', record, to)
end

local function close()
  redis.call('HDEL', record, 'since')
  change(step)
  redis.call('EXPIRE', record, ttl)
  redis.call('ZREM', box .. 'due', id)
  local batch = known[6]
  if not batch or batch == '' then return end
  local key = root .. 'batch:' .. batch
  redis.call('HINCRBY', key, step, 1)
  local counts = redis.call('HMGET', key, 'total', 'sent', 'failed', 'cancelled')
  if (counts[2] or 0) + (counts[3] or 0) + (counts[4] or 0) >= tonumber(counts[1] or 0) then
    redis.call('HDEL', key, 'sealed')
    redis.call('EXPIRE', key, ttl)
  end
  redis.call('PUBLISH', key, step)
end

if step == 'cancelled' then
  if state == 'queued' then
    -- Without its log entry whoever comes to it in the mailbox passes over it.
    redis.call('XDEL', box .. 'log', known[4])
    if redis.call('ZREM', box .. 'later', known[4] .. ' ' .. known[5]) == 1 then
      redis.call('DECR', box .. 'depth')
    end
    close()
    return step
  end
  return state or ''
end
if state == 'sent' then return '=' .. (known[3] or '') end
if state == 'failed' or state == 'cancelled' then return '!' end
if step == 'begin' then
  if state == 'sending' then return '?' .. known[2] end
  redis.call('HSET', record, 'since', now)
  change('sending')
elseif step == 'again' then
  redis.call('HDEL', record, 'since')
  change('queued')
elseif step == 'waits' then
  -- It stays as it is; what is new is why.
  if redis.call('HGET', record, 'reason') ~= ARGV[6] then
    redis.call('HSET', record, 'reason', ARGV[6])
    change(state)
  end
elseif step == 'sent' then
  redis.call('HDEL', record, 'reason')
  redis.call('HSET', record, 'message_id', ARGV[6])
  close()
else
  redis.call('HSET', record, 'reason', ARGV[6])
  close()
end
return ''
