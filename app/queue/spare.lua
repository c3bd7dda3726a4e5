-- In front of scripts that go from bot to bot: the keys of one that are damaged must not keep the others from theirs.
--
-- `spared` takes a bot's step; where that fails, the bot and Redis' words go onto `damaged`. What Redis refuses of
-- everybody (no memory, no disk, no primary) ends the script, as ever.
local damaged = {}

local function spared(bot, step, ...)
  local fine, said = pcall(step, ...)
  if fine then return end
  local why = type(said) == 'table' and said.err or tostring(said)
  local code = string.match(why, '^%u+')
  if code and code ~= 'WRONGTYPE' and code ~= 'ERR' then error({err = why}) end
  damaged[#damaged + 1] = bot .. ' ' .. why
end

