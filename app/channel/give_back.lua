-- Frees a slot that will not be used.
--
-- KEYS     sorted sets: grants
-- ARGV[1]  the slot

for _, log in ipairs(KEYS) do
  redis.call('ZREM', log, ARGV[1])
end
