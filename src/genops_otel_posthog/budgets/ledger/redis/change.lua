-- What people change, all of it or nothing. ARGV: the changes as JSON (records.py), the time or nothing.

local changes = cjson.decode(ARGV[1])
local now = clock(ARGV[2])
local limits, overrides = prefix .. 'limits', prefix .. 'overrides'

expect('hash', {'limits'})
local ended = {}
local stored = redis.call('HGETALL', overrides)
for i = 1, #stored, 2 do
  if number(cjson.decode(stored[i + 1])[4]) <= now then
    ended[#ended + 1] = stored[i]
  end
end
local raised = {}
for _, used in ipairs(changes.used) do
  local month, meter, units = unpack(used)
  -- Whoever counted in the meantime is not undone: usage never falls.
  if number(units) > number(redis.call('HGET', prefix .. 'usage:' .. month, meter), 0) then
    raised[#raised + 1] = used
  end
end

local notes = {}
for i, said in ipairs(changes.notes) do
  local at, actor, kind, budget, period, amount, note = unpack(said)
  notes[i] = {number(at), actor, kind, budget or nil, period or nil, number(amount), note}
end
append(notes)
for _, id in ipairs(ended) do
  redis.call('HDEL', overrides, id)
end
for _, limit in ipairs(changes.limits) do
  if limit[2] then
    redis.call('HSET', limits, limit[1], limit[2])
  else
    redis.call('HDEL', limits, limit[1])
  end
end
for _, override in ipairs(changes.overrides) do
  if override[2] then
    redis.call('HSET', overrides, override[1], override[2])
  else
    redis.call('HDEL', overrides, override[1])
  end
end
for _, used in ipairs(raised) do
  local month, meter, units = unpack(used)
  redis.call('HSET', prefix .. 'usage:' .. month, meter, units)
  redis.call('PEXPIRE', prefix .. 'usage:' .. month, digits(KEPT_MONTH))
end
