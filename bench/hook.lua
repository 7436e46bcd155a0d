-- Posts the file named in BODY, each time with a key of its own.
local file = assert(io.open(os.getenv("BODY"), "rb"))
local body = file:read("*a")
file:close()

local threads = 0
function setup(thread)
	threads = threads + 1
	thread:set("id", threads)
end

local n = 0
local run = os.time()
function request()
	n = n + 1
	return wrk.format("POST", nil, {
		["Content-Type"] = "application/json",
		["X-Hook-Key"] = "secret",
		["Idempotency-Key"] = run .. "-" .. id .. "-" .. n,
	}, body)
end
