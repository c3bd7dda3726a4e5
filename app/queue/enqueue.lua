-- Put messages on the outbox: log, mailbox (or `later`, where their time has not come), and their record last.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     wake list or '', bot, how many may wait, then seven a message: id, conversation, when it is due in ms
--          (0: now), fingerprint, batch or '', entry, sealed payload
-- Returns  one string a message: '+' queued, '!' queued and the bot is to be woken, '=<fingerprint>' there already,
--          '-' outbox full
local root, wake = KEYS[1], ARGV[1]
local box = root .. 'out:'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local out = {}
for i = 4, #ARGV, 7 do
  local id, conversation, due = ARGV[i], ARGV[i + 1], math.max(now, tonumber(ARGV[i + 2]))
  local record = root .. 'msg:' .. id
  local known = redis.call('HGET', record, 'fingerprint')
  if known then
    out[#out + 1] = '=' .. known
  elseif redis.call('INCR', box .. 'depth') > tonumber(ARGV[3]) then
    redis.call('DECR', box .. 'depth')
    out[#out + 1] = '-'
  else
    local log_id = redis.call('XADD', box .. 'log', '*', 'e', ARGV[i + 5], 's', ARGV[i + 6])
    local flag = '+'
    if due > now then
      redis.call('ZADD', box .. 'later', due, log_id .. ' ' .. conversation)
    else
      redis.call('RPUSH', box .. 'mail:' .. conversation, log_id)
      if redis.call('HSETNX', box .. 'claim', conversation, 'r') == 1 then
        local list = string.sub(conversation, 1, 5) == 'call:' and 'calls' or 'ready'
        if redis.call('RPUSH', box .. list, conversation) == 1 then
          if wake == '' then flag = '!' else redis.call('RPUSH', wake, ARGV[2]) end
        end
      end
    end
    redis.call('ZADD', box .. 'due', due, id)
    redis.call('HSET', record, 'fingerprint', ARGV[i + 3], 'state', 'queued', 'created', now, 'changed', now,
      'due', due, 'log', log_id, 'conversation', conversation, 'batch', ARGV[i + 4])
    out[#out + 1] = flag
  end
end
return out
