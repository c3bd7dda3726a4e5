#!lua flags=allow-oom
-- Make ready those conversations that have mail and stand nowhere.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     conversations
-- Returns  how many were made ready
local root = KEYS[1]
local mended = 0
for _, conversation in ipairs(ARGV) do
  if redis.call('EXISTS', root .. 'mail:' .. conversation) == 1
    and redis.call('HSETNX', root .. 'claim', conversation, 'r') == 1 then
    local list = string.sub(conversation, 1, 5) == 'call:' and 'calls' or 'ready'
    redis.call('RPUSH', root .. list, conversation)
    mended = mended + 1
  end
end
return mended
