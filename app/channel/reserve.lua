#!lua flags=allow-oom
-- Reserves one send slot under all bounds of a call that lie together, at the earliest time that keeps them: under none
-- of them are there `count` + 1 grants within `span`. The same law as app/channel/windows.py.
--
-- KEYS     of each bound: sorted set: grants, member = score = microseconds since the epoch, some still to come;
--          then string: until when Feishu asked to pause, microseconds since the epoch, and more (see pause.lua)
-- ARGV[1]  earliest slot, microseconds from now
-- ARGV[2]  latest slot, microseconds from now; -1: any
-- ARGV[3]  a slot held so far, 0: none; it is kept if it is still good, else given back for a later one
-- ARGV[4]  how late a held slot may be used, microseconds
-- ARGV[5]  how long grants are remembered, microseconds
-- ARGV[6…] of each bound: how far apart slots are that are waited for, microseconds; how many windows it has; of each
--          window: count, span (microseconds)
-- Returns {slot, now, 0, …}; instead of 0 the number of the bound that delays it most when the slot would be too late:
--         then nothing is held any more. What follows is, of each bound, until when it is paused; left out if none is.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local earliest, latest = now + tonumber(ARGV[1]), tonumber(ARGV[2])
local held, grace, horizon = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local slot = earliest
local bounds, pauses, paused = {}, {}, false

-- As a member; a score may be a number, which is written in another way if it is a round one.
local function text(number)
  return string.format('%.0f', number)
end

local function answer(given, blamed)
  return paused and {given, now, blamed, unpack(pauses)} or {given, now, blamed}
end

local at = 6
for i = 1, #KEYS / 2 do
  local bound = {log = KEYS[2 * i - 1], apart = tonumber(ARGV[at]), windows = {}}
  for n = 1, tonumber(ARGV[at + 1]) do
    bound.windows[n] = {count = tonumber(ARGV[at + 2 * n]), span = tonumber(ARGV[at + 2 * n + 1])}
  end
  at = at + 2 + 2 * #bound.windows
  local known = redis.call('GET', KEYS[2 * i])
  local till = known and tonumber(string.match(known, '^%d+')) or 0
  bound.delay = math.max(0, till - earliest)
  slot = math.max(slot, till)
  paused = paused or till > now
  bounds[i], pauses[i] = bound, till
end

if held > 0 then
  local good = slot <= held + grace
  for _, bound in ipairs(bounds) do
    good = good and redis.call('ZSCORE', bound.log, text(held))
  end
  if good then
    return answer(held, 0)
  end
  for _, bound in ipairs(bounds) do
    redis.call('ZREM', bound.log, text(held))
  end
end

for _, bound in ipairs(bounds) do
  redis.call('ZREMRANGEBYSCORE', bound.log, '-inf', now - horizon)
  bound.last = tonumber(redis.call('ZRANGE', bound.log, -1, -1)[1])
  bound.size = bound.last and redis.call('ZCARD', bound.log) or 0
end

-- When all windows are open for who comes after all grants.
local function open(bound)
  local opens = bound.last + 1
  for _, window in ipairs(bound.windows) do
    if bound.size >= window.count then
      local rank = bound.size - window.count
      opens = math.max(opens, tonumber(redis.call('ZRANGE', bound.log, rank, rank)[1]) + window.span)
    end
  end
  return opens
end

-- Whether grants begin `from` … `to` (ranks) a run of `count` that `slot` makes too dense: until when the latest of them
-- does, which moves it farthest.
local function dense(bound, from, to, count, span)
  local begins = redis.call('ZRANGE', bound.log, from, to)
  local ends = count == 1 and begins or redis.call('ZRANGE', bound.log, from + count - 1, to + count - 1)
  for i = #begins, 1, -1 do
    local begun = tonumber(begins[i])
    if math.max(tonumber(ends[i]), slot) - math.min(begun, slot) < span then
      return begun + span
    end
  end
end

local function pushed(bound, before, count, span)
  if bound.size < count then
    return nil
  end
  -- Only those that end near enough, lest hundreds be looked at; and those that likely do first.
  local last = math.min(before, redis.call('ZCOUNT', bound.log, '-inf', slot + span - 1) - count)
  local first = math.max(before - count, 0)
  local some = math.max(first, last - 7)
  local to = some <= last and dense(bound, some, last, count, span)
  if not to and some > first then
    first = math.max(first, redis.call('ZCOUNT', bound.log, '-inf', slot - span))
    to = first < some and dense(bound, first, some - 1, count, span)
  end
  return to
end

-- Past those that `slot` is too near to, one after the other.
local function spread(bound)
  local near = redis.call('ZRANGEBYSCORE', bound.log, slot - bound.apart + 1, '+inf', 'LIMIT', 0, 16)
  local to = slot
  for _, each in ipairs(near) do
    local grant = tonumber(each)
    if grant >= to + bound.apart then
      break
    end
    to = grant + bound.apart
  end
  return to > slot and to
end

-- The time to which the bound moves `slot`, or nil if it lets it be.
local function later(bound)
  if not bound.last then
    return nil
  end
  -- Only what waits is kept apart: who is free to go is not held up.
  local waits = slot > now + 1000 and bound.apart > 0
  if slot > bound.last then
    bound.opens = bound.opens or open(bound)
    local to = math.max(slot, bound.opens)
    if to > now + 1000 then
      to = math.max(to, bound.last + bound.apart)
    end
    return to > slot and to
  end
  local before = redis.call('ZCOUNT', bound.log, '-inf', slot)
  for _, window in ipairs(bound.windows) do
    local to = pushed(bound, before, window.count, window.span)
    if to then
      return to
    end
  end
  if waits then
    return spread(bound)
  end
  return redis.call('ZSCORE', bound.log, text(slot)) and slot + 1
end

local settled
repeat
  settled = true
  for _, bound in ipairs(bounds) do
    local to = later(bound)
    while to do
      bound.delay = bound.delay + to - slot
      slot, settled = to, false
      to = later(bound)
    end
  end
until settled

if latest >= 0 and slot > now + latest then
  local blamed = 1
  for i, bound in ipairs(bounds) do
    if bound.delay > bounds[blamed].delay then
      blamed = i
    end
  end
  return answer(slot, blamed)
end
for _, bound in ipairs(bounds) do
  redis.call('ZADD', bound.log, slot, text(slot))
  redis.call('PEXPIRE', bound.log, math.ceil((math.max(slot, bound.last or 0) - now + horizon) / 1000))
end
return answer(slot, 0)
