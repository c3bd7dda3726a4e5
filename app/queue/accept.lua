-- Accept events: log, mailbox, ready, and the dedup marks last, since a script that fails half way does not roll back.
--
-- KEYS[1]    any key of the slot (routes the call on Cluster)
-- ARGV[1]    wake list, or '' where another slot holds it (Cluster): the caller then pushes the bots whose flag is set
-- ARGV[2…]   nine an event: root, bot, conversation, ttl s, queue size, first mark, second mark or '', entry, sealed payload
-- Returns    one string an event: '+<log id>' accepted, '!<log id>' accepted and the bot is to be woken,
--            '=<log id>' seen before, '-' queue full, '?<error>' Redis refuses it
local wake = ARGV[1]
local counted -- whose depth counts an event that stands in no mailbox yet

local function keep(i)
  local root, conversation = ARGV[i], ARGV[i + 2]
  local first = root .. 'seen:' .. ARGV[i + 5]
  local second = ARGV[i + 6] ~= '' and root .. 'seen:' .. ARGV[i + 6]
  local prior = redis.call('GET', first) or (second and redis.call('GET', second))
  if prior then return '=' .. prior end
  if redis.call('INCR', root .. 'depth') > tonumber(ARGV[i + 4]) then
    redis.call('DECR', root .. 'depth')
    return '-'
  end
  counted = root
  local id = redis.call('XADD', root .. 'log', '*', 'e', ARGV[i + 7], 's', ARGV[i + 8])
  redis.call('RPUSH', root .. 'mail:' .. conversation, id)
  counted = nil
  local flag = '+'
  if redis.call('HSETNX', root .. 'claim', conversation, 'r') == 1 then
    -- A callback is a conversation of its own, taken before all others: somebody looks at a button and waits.
    local call = string.sub(conversation, 1, 5) == 'call:'
    if redis.call('RPUSH', root .. (call and 'calls' or 'ready'), conversation) == 1 then
      if wake == '' then flag = '!' else redis.call(call and 'LPUSH' or 'RPUSH', wake, ARGV[i + 1]) end
    end
  end
  redis.call('SET', first, id, 'EX', ARGV[i + 3])
  if second then redis.call('SET', second, id, 'EX', ARGV[i + 3]) end
  return flag .. id
end

local out = {}
for i = 2, #ARGV, 9 do
  -- What is wrong with the keys or the terms of one bot must not keep the others' events out.
  counted = nil
  local fine, said = pcall(keep, i)
  if counted then redis.pcall('DECR', counted .. 'depth') end
  out[#out + 1] = fine and said or '?' .. (type(said) == 'table' and said.err or tostring(said))
end
return out
