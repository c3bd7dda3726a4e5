-- One step of the cache's shared tier.
--
-- KEYS[1]  the value's key
-- KEYS[2]  its lock: who loads it
-- ARGV     'look' | 'renew' | 'keep' | 'leave' | 'set' | 'delete', token of the one who loads, lock ms, then for keep and
--          set: sealed value, ttl ms; for set and delete: pub/sub channel, message
-- Returns  look: {value}, 'mine' (not there: the caller loads it) or 'wait' (another does); keep: 1 where it was kept
local value, lock, what, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if what == 'look' then
  local found = redis.call('GET', value)
  if found then return {found} end
  if redis.call('SET', lock, token, 'NX', 'PX', ARGV[3]) then return 'mine' end
  -- A process has one load of a value at a time: a lock of its own is left of one that was stopped.
  return redis.call('GET', lock) == token and 'mine' or 'wait'
end
if what == 'set' or what == 'delete' then
  -- What is being loaded now was read before this change: its loader may use it, but no longer keep it.
  redis.call('DEL', lock)
  if what == 'set' then redis.call('SET', value, ARGV[4], 'PX', ARGV[5]) else redis.call('DEL', value) end
  redis.call('PUBLISH', ARGV[6], ARGV[7])
  return 1
end
if redis.call('GET', lock) ~= token then return 0 end
if what == 'renew' then
  redis.call('PEXPIRE', lock, ARGV[3])
else
  redis.call('DEL', lock)
  if what == 'keep' then redis.call('SET', value, ARGV[4], 'PX', ARGV[5]) end
end
return 1
