-- What wrk sends, read from a table that load.ts writes: one request always the same, or a sequence of them. Prints the result as JSON.
local load
local count = 0

function init(args)
  load = dofile(args[1])
  wrk.method = load.method
  wrk.body = load.body
  for name, value in pairs(load.headers) do wrk.headers[name] = value end
  if load.sequence == nil then
    wrk.path = load.path
    return
  end
  function request()
    count = count + 1
    local one = load.sequence[(count - 1) % #load.sequence + 1]
    if one.authorization then wrk.headers["Authorization"] = one.authorization end
    -- {n} makes the path of every request a new one, for documents that must not exist yet.
    local path = (one.path or load.path):gsub("{n}", load.prefix .. count)
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
