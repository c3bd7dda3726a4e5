-- Sends the requests of a file, each once; after the last it begins anew and says so.
-- Arguments: file, bytes a request, first request, mean pause of a connection between requests in ms (0: none)
local file, size, pause
sent, wrapped = 0, 0 -- global: read from outside by name

function init(args)
  file = assert(io.open(args[1], "rb"))
  size, pause = tonumber(args[2]), tonumber(args[4])
  file:seek("set", size * tonumber(args[3]))
  sent, wrapped = 0, 0
  math.randomseed(1)
  -- wrk waits between requests only where this function exists.
  if pause > 0 then
    delay = function() return -pause * math.log(1 - math.random()) end
  end
end

function request()
  local found = file:read(size)
  if not found then
    file:seek("set", 0)
    found = file:read(size)
    wrapped = wrapped + 1
  end
  sent = sent + 1
  return found
end

local thread
function setup(started) thread = started end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"microseconds":%d,"status":%d,"broken":%d,"timeouts":%d,"sent":%d,"wrapped":%d,'
      .. '"p50":%f,"p99":%f}\n',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write, errors.timeout,
    thread:get("sent"), thread:get("wrapped"), latency:percentile(50), latency:percentile(99)))
end
