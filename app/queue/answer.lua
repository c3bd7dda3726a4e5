#!lua flags=allow-oom
-- Decide once whether the result of a callback is delivered in the HTTP answer or late.
--
-- KEYS[1]  result key of the callback
-- ARGV     'answer' (worker), 'give-up' (gateway at its deadline) or 'read'; result; ttl s; then for answer: channel; head
--          of the message; log id of the callback; ms after which no gateway waits for it
-- Returns  answer: 'delivered' or 'late'; give-up and read: '=<result>', 'late', or '' (read: nothing yet)
local known = redis.call('GET', KEYS[1])
if ARGV[1] == 'answer' then
  if known == 'late' then return 'late' end
  if not known then
    local time = redis.call('TIME')
    if time[1] * 1000 + math.floor(time[2] / 1000) - string.match(ARGV[6], '^%d+') > tonumber(ARGV[7]) then
      -- A gateway that could not say that it gave up, since Redis or itself was away, has done so all the same.
      redis.call('SET', KEYS[1], 'late', 'EX', ARGV[3])
      return 'late'
    end
    redis.call('SET', KEYS[1], '=' .. ARGV[2], 'EX', ARGV[3])
    redis.call('PUBLISH', ARGV[4], ARGV[5] .. ARGV[2])
  end
  return 'delivered'
end
if known then return known end
if ARGV[1] == 'give-up' then
  redis.call('SET', KEYS[1], 'late', 'EX', ARGV[3])
  return 'late'
end
return ''
