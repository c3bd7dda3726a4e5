-- Give a bot's turn back, unless somebody noted an earlier timer of it meanwhile.
--
-- KEYS[1]  the index
-- ARGV     bot, the turn's end as it was claimed, ms
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or -1) == tonumber(ARGV[2]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
