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
-- ARGV[6]  how far apart slots are that are waited for, microseconds
-- ARGV[7…] count, span (microseconds); several pairs
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

local apart = tonumber(ARGV[6])

local function grant(rank)
  return tonumber(redis.call('ZRANGE', log, rank, rank)[1])
end

-- The runs of `count` grants that `slot` would make too dense move it, the latest first: that moves farthest.
local function pushed(before, count, span)
  if size < count then
    return nil
  end
  -- Of them only those that begin and end near enough, lest hundreds be looked at.
  local low = redis.call('ZCOUNT', log, '-inf', text(slot - span))
  local high = redis.call('ZCOUNT', log, '-inf', '(' .. text(slot + span))
  local earliest, latest = math.max(before - count, low), math.min(before, high - count)
  if latest < earliest then
    return nil
  end
  local begins = redis.call('ZRANGE', log, earliest, latest)
  local ends = redis.call('ZRANGE', log, earliest + count - 1, latest + count - 1)
  for i = #begins, 1, -1 do
    local from = tonumber(begins[i])
    if math.max(tonumber(ends[i]), slot) - math.min(from, slot) < span then
      return from + span
    end
  end
end

-- The time to which one of the bounds moves `slot`, or nil if all of them let it be.
local function later()
  local before = redis.call('ZCOUNT', log, '-inf', text(slot))
  if before > 0 and grant(before - 1) == slot then
    return slot + 1
  end
  for i = 7, #ARGV, 2 do
    local moved = pushed(before, tonumber(ARGV[i]), tonumber(ARGV[i + 1]))
    if moved then
      return moved
    end
  end
  -- Only what waits: who is free to go is not held up.
  return slot > now + 1000 and pushed(before, 1, apart) or nil
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
