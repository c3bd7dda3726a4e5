-- In front of take.lua, fetch.lua and finish.lua: claim a conversation with a fence and a lease, and start its first event.
--
-- Returns  nothing where no mail is left (it is let go then), or a work:
--          {conversation, fence, log id, starts, failures, held ms, entry, sealed}
local function claimed(root, conversation, owner, expiry)
  local mail = root .. 'mail:' .. conversation
  local id = redis.call('LINDEX', mail, 0)
  while id do
    local entry = redis.call('XRANGE', root .. 'log', id, id)[1]
    if entry then
      local fence = redis.call('INCR', root .. 'fence')
      redis.call('HSET', root .. 'claim', conversation, owner .. ' ' .. fence)
      redis.call('ZADD', root .. 'lease', expiry, conversation)
      local starts = redis.call('HINCRBY', root .. 'tries', id, 1)
      local past = starts > 1 and redis.call('HMGET', root .. 'tries', id .. ':f', id .. ':h') or {false, false}
      return {conversation, fence, id, starts, past[1] or 0, past[2] or 0, entry[2][2], entry[2][4]}
    end
    redis.call('LPOP', mail) -- its log entry is gone: there is nothing to handle
    redis.call('DECR', root .. 'depth')
    redis.call('HDEL', root .. 'tries', id, id .. ':f', id .. ':h')
    id = redis.call('LINDEX', mail, 0)
  end
  redis.call('HDEL', root .. 'claim', conversation)
end

-- Takes up to `limit` conversations of a list (`calls` or `ready`) onto `out`.
local function take(root, list, owner, expiry, limit, out)
  while limit > 0 do
    local conversation = redis.call('LPOP', root .. list)
    if not conversation then return end
    local fine, work = pcall(claimed, root, conversation, owner, expiry)
    if not fine then
      redis.call('LPUSH', root .. list, conversation) -- else nobody would find it when the bot's keys are mended
      error(type(work) == 'table' and work or {err = work})
    end
    if work then
      out[#out + 1] = work
      limit = limit - 1
    end
  end
end

