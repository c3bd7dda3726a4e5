#!lua flags=allow-oom
-- Notes that Feishu asked to pause; a longer pause that is known already stays.
--
-- KEYS[1]  string: until when, how often Feishu refused in a row, when last; times in microseconds since the epoch
-- ARGV[1]  how long Feishu asked for, microseconds; 0: it did not say, and each refusal in a row doubles the pause
-- ARGV[2]  the first pause of such a row
-- ARGV[3]  the longest one
-- ARGV[4]  the slot of the call that was refused
-- ARGV[5]  a factor that spreads those who wait
-- ARGV[6]  channel on which those who wait already are told: '<microseconds> <KEYS[1]>'
-- Returns for how long nothing is granted, microseconds.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local asked, first, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local till, row, last = 0, 0, 0
local known = redis.call('GET', KEYS[1])
if known then
  till, row, last = string.match(known, '^(%d+) (%d+) (%d+)$')
  till, row, last = tonumber(till), tonumber(row), tonumber(last)
end

local length = asked
if asked == 0 then
  -- What left before the last refusal could not know of it.
  if tonumber(ARGV[4]) > last then
    row = row + 1
  end
  length = math.min(longest, first * 2 ^ (row - 1))
end
till = math.max(till, now + math.floor(length * tonumber(ARGV[5])))
-- The row is forgotten when it was quiet for as long as the longest pause.
redis.call('SET', KEYS[1], string.format('%.0f %d %.0f', till, row, now), 'PX', math.ceil((till - now + longest) / 1000))
redis.call('PUBLISH', ARGV[6], string.format('%.0f %s', till - now, KEYS[1]))
return till - now
