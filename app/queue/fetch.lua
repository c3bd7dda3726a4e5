#!lua flags=allow-oom
-- Take ready conversations of the bots whose wake tokens lie here, each with its first event started. Sent behind the
-- BLMOVE that waits for a token, so that who waited has work with the token, by one write to the disk.
--
-- KEYS     tokens that were waited for, wake list
-- ARGV     owner, lease ms, what a bot's keys begin with before and after its id, how many conversations in all (a
--          token that brings none counts as one), then of one bot how many of `ready` and of `calls`; then bot, ready,
--          calls for each bot of which there is room for other numbers
-- Returns  for each token its bot, where there is no room, or {bot, work…}, as start.lua has it; then damaged bots
local woken, wake, owner, before, after = KEYS[1], KEYS[2], ARGV[1], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local expiry = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
local left = tonumber(ARGV[5])
local usual, rooms = {tonumber(ARGV[6]), tonumber(ARGV[7])}, {}
for i = 8, #ARGV, 3 do rooms[ARGV[i]] = {tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])} end
local out, again, had = {}, {}, {}

-- Onto `works`; what was started before a damaged key was met is among them.
local function start(bot, root, room, works)
  take(root, 'calls', owner, expiry, math.min(left, room[2]), works)
  take(root, 'ready', owner, expiry, math.min(left - #works + 1, room[1]), works)
  if redis.call('LLEN', root .. 'ready') + redis.call('LLEN', root .. 'calls') > 0 then again[#again + 1] = bot end
end

while left > 0 do
  local bot = redis.call('LPOP', woken) or redis.call('LPOP', wake)
  if not bot then break end
  local room, used = rooms[bot] or usual, 1
  if had[bot] then
    -- A callback brings a token of its own: whatever is left of the bot gives it one below.
  elseif room[1] + room[2] <= 0 then
    out[#out + 1] = bot
  else
    local works = {bot}
    spared(bot, start, bot, before .. bot .. after, room, works)
    used = math.max(1, #works - 1)
    if #works > 1 then out[#out + 1] = works end
  end
  had[bot] = true
  left = left - used
end
-- Behind all others: bots take turns.
for _, bot in ipairs(again) do
  if not redis.call('LPOS', wake, bot) then redis.call('RPUSH', wake, bot) end
end
out[#out + 1] = damaged
return out
