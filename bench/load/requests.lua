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

-- In place of wrk.format, whose order of headers differs from run to run. Node keeps headers in an object
-- whose shape depends on that order, and V8 compiles the code that reads them again for each new shape.
-- `rotation` = number of headers to move from the front to the back.
function wrk.format(method, path)
  local names = {}
  for name in pairs(wrk.headers) do names[#names + 1] = name end
  table.sort(names)
  local lines = { string.format("%s %s HTTP/1.1", method or wrk.method, path or wrk.path) }
  for at = 1, #names do
    local name = names[(at - 1 + (load.rotation or 0)) % #names + 1]
    lines[#lines + 1] = name .. ": " .. wrk.headers[name]
  end
  if wrk.body then lines[#lines + 1] = "Content-Length: " .. #wrk.body end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (wrk.body or "")
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
