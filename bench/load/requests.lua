-- Generates the requests of wrk from a table that load.ts writes: one constant request, or a sequence. Prints
-- the result as JSON.
local load
local sequence = {}
local count = 0
local threads = 0

-- One thread per address. Paths contain the number of the thread, so that no two threads write the same
-- document.
function setup(thread)
  local at = 0
  for host, port in os.getenv("LOAD_ADDRESSES"):gmatch("(%S+):(%d+)") do
    if at == threads then thread.addr = wrk.lookup(host, port)[1] end
    at = at + 1
  end
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  load = dofile(args[1])
  wrk.method = load.method
  wrk.body = load.body
  for name, value in pairs(load.headers) do wrk.headers[name] = value end
  wrk.path = load.path
  -- A separate file with one request per line: Lua does not accept so many texts as program text.
  if args[2] == nil then return end
  for line in io.lines(args[2]) do
    local path, authorization = line:match("^([^\t]*)\t(.*)$")
    sequence[#sequence + 1] = { path = path, authorization = authorization ~= "" and authorization or nil }
  end
  function request()
    count = count + 1
    local one = sequence[(count - 1) % #sequence + 1]
    if one.authorization then wrk.headers["Authorization"] = one.authorization end
    -- {n} makes every path unique, for documents that must not exist yet.
    local path = one.path:gsub("{n}", load.prefix .. number .. '-' .. count)
    return wrk.format(load.method, path)
  end
end

function done(summary, latency)
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"bytes":%d,"p50":%.3f,"p99":%.3f,"refused":%d,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
