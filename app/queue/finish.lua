#!lua flags=allow-oom
-- End an event (done, gone, dead or later) and start the next one of its conversation, or let the conversation go, and
-- then perhaps take another one in the same step.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     wake list or '', bot, conversation, claim ('owner fence'), log id,
--          'done' | 'gone' (done, and nobody else reads the log) | 'dead' | 'later',
--          '0' to let go, '1' to go on with the next event, '2' or else with another conversation that is ready,
--          lease ms, then for dead: entry, sealed, reason, detail; for later: delay ms, event id, how long the sent
--          record is kept then, ms
-- Returns  'lost' (another owner has it), {} (released), {'wake'} (released, the caller wakes the bot), or
--          a work, as start.lua has it
local root, wake, conversation, claim, id = KEYS[1], ARGV[1], ARGV[3], ARGV[4], ARGV[5]
if redis.call('HGET', root .. 'claim', conversation) ~= claim then return 'lost' end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local mail = root .. 'mail:' .. conversation

local function forget(event)
  redis.call('LPOP', mail)
  redis.call('DECR', root .. 'depth')
  redis.call('HDEL', root .. 'tries', event, event .. ':f', event .. ':h')
end

-- A repeated call, after a lost reply, finds another event at the head: the first call had done its work, and had
-- started that event.
local repeated = redis.call('LINDEX', mail, 0) ~= id
if not repeated then
  if ARGV[6] == 'later' then
    redis.call('LPOP', mail)
    redis.call('HINCRBY', root .. 'tries', id .. ':f', 1)
    redis.call('ZADD', root .. 'later', now + ARGV[9], id .. ' ' .. conversation)
    -- What it said must still be known when it is handled again.
    redis.call('PEXPIRE', root .. 'sent:' .. ARGV[10], ARGV[11])
  else
    if ARGV[6] == 'dead' then
      redis.call('XADD', root .. 'dead', '*', 'e', ARGV[9], 's', ARGV[10], 'reason', ARGV[11], 'detail', ARGV[12],
        'starts', redis.call('HGET', root .. 'tries', id) or 0, 'c', conversation)
    end
    forget(id)
    -- Whichever of handling and archiving comes second deletes the log entry.
    if ARGV[6] == 'gone' or redis.call('SREM', root .. 'half', id) == 1 then
      redis.call('XDEL', root .. 'log', id)
    else
      redis.call('SADD', root .. 'half', id)
    end
  end
end

local head = redis.call('LINDEX', mail, 0)
if head and ARGV[7] ~= '0' then
  while head do
    local entry = redis.call('XRANGE', root .. 'log', head, head)[1]
    if entry then
      redis.call('ZADD', root .. 'lease', now + ARGV[8], conversation)
      local starts = repeated and tonumber(redis.call('HGET', root .. 'tries', head) or 1)
        or redis.call('HINCRBY', root .. 'tries', head, 1)
      local past = starts > 1 and redis.call('HMGET', root .. 'tries', head .. ':f', head .. ':h') or {false, false}
      return {conversation, string.match(claim, '%d+$'), head, starts, past[1] or 0, past[2] or 0, entry[2][2], entry[2][4]}
    end
    forget(head)
    head = redis.call('LINDEX', mail, 0)
  end
end
redis.call('ZREM', root .. 'lease', conversation)
if not head then
  redis.call('HDEL', root .. 'claim', conversation)
  while ARGV[7] == '2' do
    local another = redis.call('LPOP', root .. 'ready')
    if not another then break end
    local work = claimed(root, another, string.match(claim, '^%S+'), now + ARGV[8])
    if work then return work end
  end
  return {}
end
redis.call('HSET', root .. 'claim', conversation, 'r')
local list = string.sub(conversation, 1, 5) == 'call:' and 'calls' or 'ready'
if redis.call('RPUSH', root .. list, conversation) == 1 then
  if wake == '' then return {'wake'} end
  redis.call('RPUSH', wake, ARGV[2])
end
return {}
