-- Reserves one send slot under one bound, at the earliest time that keeps it: no `count` + 1 grants within `span`.
-- The same law as app/channel/windows.py.
--
-- KEYS[1]  sorted set: grants, member = score = microseconds since the epoch, some still to come
-- KEYS[2]  string: until when Feishu asked to pause, microseconds since the epoch, and more (see pause.lua)
-- ARGV[1]  earliest slot, microseconds from now
-- ARGV[2]  latest slot, microseconds from now; -1: any
-- ARGV[3]  a slot held so far, 0: none; it is kept if it is still good, else given back for a later one
-- ARGV[4]  how late a held slot may be used, microseconds
-- ARGV[5]  how long grants are remembered, microseconds
-- ARGV[6…] count, span (microseconds); several pairs
-- Returns {slot, now, 1, paused until}; 0 instead of 1 when the slot would be too late: then nothing is held any more.

local log = KEYS[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local slot = now + tonumber(ARGV[1])
local paused = redis.call('GET', KEYS[2])
paused = paused and tonumber(string.match(paused, '^%d+')) or 0
if paused > slot then
  slot = paused
end

local function text(number)
  return string.format('%.0f', number)
end

local held = tonumber(ARGV[3])
if held > 0 then
  if slot <= held + tonumber(ARGV[4]) and redis.call('ZSCORE', log, text(held)) then
    return {held, now, 1, paused}
  end
  redis.call('ZREM', log, text(held))
end

local horizon = tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', log, '-inf', text(now - horizon))
local size = redis.call('ZCARD', log)

local function grant(rank)
  return tonumber(redis.call('ZRANGE', log, rank, rank)[1])
end

-- The time to which one of the bounds moves `slot`, or nil if all of them let it be.
local function later()
  local before = redis.call('ZCOUNT', log, '-inf', text(slot))
  if before > 0 and grant(before - 1) == slot then
    return slot + 1
  end
  for i = 6, #ARGV, 2 do
    local count, span = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    -- Runs of `count` grants that the slot would make too dense, the latest first: it moves farthest.
    for first = math.min(before, size - count), math.max(before - count, 0), -1 do
      local from, to = grant(first), grant(first + count - 1)
      if math.max(to, slot) - math.min(from, slot) < span then
        return from + span
      end
    end
  end
  return nil
end

local moved = size > 0 and later() or nil
while moved do
  slot = moved
  moved = later()
end

local latest = tonumber(ARGV[2])
if latest >= 0 and slot > now + latest then
  return {slot, now, 0, paused}
end
redis.call('ZADD', log, text(slot), text(slot))
redis.call('PEXPIRE', log, math.ceil((grant(-1) - now + horizon) / 1000))
return {slot, now, 1, paused}
