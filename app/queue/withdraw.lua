-- Delete the dead letters about some messages, a part of all letters at a time.
--
-- KEYS[1]  root of the bot's keys
-- ARGV     letter to begin behind (`(ID`, or `-`), how many letters to look at, types that stay (with blanks around each),
--          place of the type in an entry, place of the message id, then the message ids
-- Returns  {how many were deleted, id of the last letter looked at, or ''}
local dead, kind, message = KEYS[1] .. 'dead', tonumber(ARGV[4]), tonumber(ARGV[5])
local withdrawn = {}
for i = 6, #ARGV do withdrawn[ARGV[i]] = true end
local gone, last = 0, ''
for _, letter in ipairs(redis.call('XRANGE', dead, ARGV[1], '+', 'COUNT', ARGV[2])) do
  last = letter[1]
  for i = 1, #letter[2], 2 do
    if letter[2][i] == 'e' then
      -- A damaged one must not keep the others from going.
      local read, entry = pcall(cjson.decode, letter[2][i + 1])
      if read and type(entry) == 'table' and withdrawn[entry[message]] and not string.find(ARGV[3], ' ' .. entry[kind] .. ' ', 1, true) then
        gone = gone + redis.call('XDEL', dead, last)
      end
    end
  end
end
return {gone, last}
