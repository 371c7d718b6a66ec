-- What people want to see, as it is at one moment. ARGV: 'clock', the time or nothing; 'usage', a month; or 'records'.

if ARGV[1] == 'clock' then
  return digits(clock(ARGV[2]))
end

local function pairs_of(key)
  local found, stored = {}, redis.call('HGETALL', key)
  for i = 1, #stored, 2 do
    found[#found + 1] = {stored[i], stored[i + 1]}
  end
  return found
end

if ARGV[1] == 'usage' then
  return cjson.encode(pairs_of(prefix .. 'usage:' .. ARGV[2]))
end

local periods = {}
for _, key in ipairs(redis.call('ZRANGE', prefix .. 'periods', 0, -1)) do
  local period = redis.call('HMGET', key, 'budget', 'period', 'start', 'end', 'definition', 'meter', 'configured',
    'cap', 'limit', 'committed', 'leased', 'held', 'overdraft')
  if period[1] then
    periods[#periods + 1] = period
  end
end
return cjson.encode({
  periods = periods, limits = pairs_of(prefix .. 'limits'), overrides = pairs_of(prefix .. 'overrides'),
})
