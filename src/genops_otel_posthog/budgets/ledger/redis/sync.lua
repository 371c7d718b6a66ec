-- One sync, in the order that protocol.py numbers. ARGV: the request as JSON (wire.py), the time or nothing.

local MOST_REAPED, MOST_ALERTS = 16, 16
local ALERTS_KEPT = 7 * DAY
local WHOLE = 10000  -- basis points
local RE_ARMED_BELOW = 500

local request = cjson.decode(ARGV[1])
local me = request.process
local sequence = number(request.sequence)
local now = clock(ARGV[2])
local process = prefix .. 'process:' .. me
local notes = {}

local function note(kind, budget, period, amount, text)
  notes[#notes + 1] = {now, me, kind, budget, period, amount, text}
end

-- 1: reply again

local heard = redis.call('HMGET', process, 'sequence', 'reply')
local last = number(heard[1], 0)
if sequence == last then
  return heard[2]
end
if sequence < last then
  return cjson.encode({stale = digits(last)})
end

-- 2: forgotten

if number(request.acknowledged) > last and not request.everything then
  note('forgotten', nil, nil, 0,
    'the process was answered ' .. request.acknowledged .. ', the ledger knows ' .. digits(last))
  append(notes)
  redis.call('HSET', ledger, 'rebuild', digits(now + number(request.rebuild)))
  return cjson.encode({sequence = request.sequence, now = digits(now), forgotten = true})
end

-- 3: raise usage

local usage = {}  -- month -> meter -> units
local usage_changed = {}  -- month -> meters that were changed

local function used(month, meter)
  local meters = usage[month] or {}
  usage[month] = meters
  if not meters[meter] then
    meters[meter] = number(redis.call('HGET', prefix .. 'usage:' .. month, meter), 0)
  end
  return meters[meter]
end

local function use(month, meter, units)
  usage[month][meter] = units
  usage_changed[month] = usage_changed[month] or {}
  usage_changed[month][meter] = true
end

for _, raised in ipairs(request.raised) do
  local month, meter, units = raised[1], raised[2], number(raised[3])
  local before = used(month, meter)
  if units > before then
    use(month, meter, units)
    note('usage', nil, nil, units - before, meter .. ' in ' .. month .. ', raised to ' .. raised[3])
  end
end

-- The periods of budgets, and the limits of those that are asked about.

local asks = {}
for i, said in ipairs(request.asks) do
  local ask = {
    budget = said[1], name = said[2], definition = said[3], meter = said[4], windows = said[5],
    limit = number(said[6]), cap = said[7], thresholds = said[8], hold = said[9], lease = said[10],
    settled = number(said[11]), returned = number(said[12]), want = number(said[13]), need = number(said[14]),
  }
  request.asks[i], asks[ask.budget] = ask, ask
end

local changed_limit, added_limit = {}, {}
if #request.asks > 0 then
  local budgets = {}
  for i, ask in ipairs(request.asks) do
    budgets[i] = ask.budget
  end
  for i, limit in ipairs(get(prefix .. 'limits', budgets)) do
    changed_limit[budgets[i]] = number(limit, nil)
  end
  for _, stored in ipairs(redis.call('HVALS', prefix .. 'overrides')) do
    local override = cjson.decode(stored)
    if number(override[3]) <= now and now < number(override[4]) then
      added_limit[override[1]] = (added_limit[override[1]] or 0) + number(override[2])
    end
  end
end

local function limit_of(ask)
  local limit = (changed_limit[ask.budget] or ask.limit) + (added_limit[ask.budget] or 0)
  return math.max(0, most(limit))
end

local function part_of(limit, basis_points)
  local whole, rest = math.floor(limit / WHOLE), limit % WHOLE
  return whole * basis_points + math.floor(rest * basis_points / WHOLE)
end

local function cap_of(ask, limit)
  return ask.cap ~= '' and part_of(limit, number(ask.cap))
end

local FIELDS = {'start', 'end', 'definition', 'meter', 'configured', 'cap', 'limit', 'committed', 'leased', 'held',
  'overdraft', 'raised', 'short', 'short_until', 'holders', 'lease ' .. me, 'held ' .. me}
local periods, order = {}, {}  -- name -> a period; those that are made known or changed

-- A period as it is stored; all zeros if it is not. Its name is what stands in its key after `period:`.
local function stored_period(name, budget, id)
  local period = periods[name]
  if not period then
    local was = redis.call('HMGET', prefix .. 'period:' .. name, unpack(FIELDS))
    period = {
      key = prefix .. 'period:' .. name, name = name, budget = budget, id = id, was = was, known = was[1] ~= false,
      from = number(was[1], 0), till = number(was[2], 0), definition = was[3] or '{}', meter = was[4] or '',
      configured = number(was[5], 0), cap = was[6] or '', limit = number(was[7], 0),
      committed = number(was[8], 0), leased = number(was[9], 0), held = number(was[10], 0),
      overdraft = number(was[11], 0), raised = was[12] or '', short = was[13] or '', short_until = number(was[14], 0),
      holders = number(was[15], 0), lease = number(was[16], 0), mine_held = number(was[17], 0), leases = {},
    }
    -- Other processes that hold an amount; this one's is counted when the period is written.
    period.holders = period.holders - (period.lease > 0 and 1 or 0)
    periods[name] = period
  end
  return period
end

local function bring_up_to_date(period, ask)
  period.definition, period.meter, period.configured = ask.definition, ask.meter, ask.limit
  period.cap, period.limit = ask.cap, limit_of(ask)
end

-- The same, made known if it is not.
local function period_of(name, budget, id)
  local period = stored_period(name, budget, id)
  if not period.listed then
    period.listed = true
    order[#order + 1] = period
    if not period.known then
      local ask = asks[budget]
      period.from, period.till = now, now
      for _, window in ipairs(ask and ask.windows or {}) do
        if window[1] == id then
          period.from, period.till = number(window[2]), number(window[3])
          break
        end
      end
      if ask then
        bring_up_to_date(period, ask)
      end
    end
  end
  return period
end

local function named_period(index)
  local named = request.periods[index]
  return period_of(named[1], named[2], named[3])
end

-- 4: count

local function oldest_month()
  -- The month of a day, by the method of https://howardhinnant.github.io/date_algorithms.html#civil_from_days.
  local days = math.floor((now - KEPT) / DAY) + 719468
  local era = math.floor(days / 146097)
  local day = days - era * 146097
  local year = math.floor((day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365)
  local shifted = math.floor((5 * (day - (365 * year + math.floor(year / 4) - math.floor(year / 100))) + 2) / 153)
  local month = shifted < 10 and shifted + 3 or shifted - 9
  return string.format('%04d-%02d', year + era * 400 + (month <= 2 and 1 or 0), month)
end

local function tier_of(above, units)
  for i = #above, 1, -1 do
    if number(above[i]) <= units then
      return i
    end
  end
end

-- C(after) - C(before), without the two where they cancel: they may be large where their difference is not.
local function cost_between(table, before, after)
  local above, cost_below, price = table[1], table[2], table[3]
  local first, final = tier_of(above, before), tier_of(above, after)
  if first == final then
    return (after - before) * number(price[first])
  end
  return number(cost_below[final]) - number(cost_below[first]) + (after - number(above[final])) * number(price[final])
    - (before - number(above[first])) * number(price[first])
end

local seen = {}  -- key -> field -> units
local seen_changed = {}  -- key -> {field, units, ...}

-- What the ledger has seen of each: read at once, since after `forgotten` a process says everything it ever counted.
do
  local fields = {}
  for _, counted in ipairs(request.counted) do
    local key = prefix .. 'counted:' .. me .. ':' .. counted[2]
    local field = {counted[1]}
    for place = 4, 5 do
      for _, index in ipairs(counted[place]) do
        field[#field + 1] = (place == 4 and '+' or '-') .. request.periods[index][1]
      end
    end
    counted.key, counted.field = key, table.concat(field, '\n')
    fields[key] = fields[key] or {}
    table.insert(fields[key], counted.field)
  end
  for key, names in pairs(fields) do
    seen[key] = {}
    for i, units in ipairs(get(key, names)) do
      seen[key][names[i]] = number(units, 0)
    end
  end
end

local paid = {}  -- kind and name -> note
local paid_order = {}

local function pay(kind, index, meter, new, cost)
  local period = named_period(index)
  local amount = 0
  if period.meter == '' then
    amount = cost
  elseif period.meter == meter then
    amount = new
  end
  local field = kind == 'commit' and 'committed' or 'overdraft'
  period[field] = most(period[field] + amount)
  local text = digits(new) .. ' ' .. meter
  local known = paid[kind .. period.name]
  if known then
    known.amount, known.text = most(known.amount + amount), known.text .. ', ' .. text
  else
    known = {kind = kind, period = period, amount = amount, text = text}
    paid[kind .. period.name] = known
    paid_order[#paid_order + 1] = known
  end
end

local oldest = oldest_month()
for _, counted in ipairs(request.counted) do
  local meter, month, units = counted[1], counted[2], number(counted[3])
  local known = seen[counted.key]
  local new = month >= oldest and units - known[counted.field] or 0
  if new > 0 then
    known[counted.field] = units
    seen_changed[counted.key] = seen_changed[counted.key] or {}
    local changes = seen_changed[counted.key]
    changes[#changes + 1] = counted.field
    changes[#changes + 1] = digits(units)
    local before = used(month, meter)
    local after = most(before + new)
    use(month, meter, after)
    local costs = request.costs[meter]
    local cost = costs and most(cost_between(costs, before, after)) or 0
    for _, index in ipairs(counted[4]) do
      pay('commit', index, meter, new, cost)
    end
    for _, index in ipairs(counted[5]) do
      pay('overdraft', index, meter, new, cost)
    end
  end
end
for _, entry in ipairs(paid_order) do
  if entry.amount ~= 0 then
    note(entry.kind, entry.period.budget, entry.period.id, entry.amount, entry.text)
  end
end

-- 5: reap

local reaped = {}  -- members to remove, by key

local function reap(ask)
  local key, skipped, found = prefix .. 'leases:' .. ask.name, 0, {}
  repeat
    local page = redis.call('ZRANGEBYSCORE', key, '-inf', digits(now), 'LIMIT', skipped, MOST_REAPED)
    for _, member in ipairs(page) do
      local id, holder = member:match('^(.-)\n(.*)$')
      if holder ~= me and #found < MOST_REAPED then
        found[#found + 1] = {member, id, holder}
      end
    end
    skipped = skipped + #page
  until #page < MOST_REAPED or #found == MOST_REAPED
  for _, lease in ipairs(found) do
    local member, id, holder = unpack(lease)
    local name = ask.name .. ':' .. id
    reaped[key] = reaped[key] or {}
    table.insert(reaped[key], member)
    local period = stored_period(name, ask.budget, id)
    if period.known then
      period_of(name, ask.budget, id)
      local stored = redis.call('HMGET', period.key, 'lease ' .. holder, 'held ' .. holder)
      local amount = number(stored[1], 0)
      period.leased, period.holders = period.leased - amount, period.holders - 1
      period.leases['lease ' .. holder] = 0
      local holds = ask.hold and now < period.till
      if holds then
        period.held = period.held + amount
        period.leases['held ' .. holder] = number(stored[2], 0) + amount
      end
      note('reap', ask.budget, id, amount, 'of ' .. holder .. (holds and ', held' or ''))
    end
  end
end

-- 6: settle. Returns the period of the lease, if there is one.

local function settle(ask, window)
  local named = request.periods[ask.lease]
  local period = named and stored_period(named[1], named[2], named[3])
  if not period or (period.lease == 0 and period.mine_held == 0) then
    return nil
  end
  named_period(ask.lease)
  period.lease, period.leased = period.lease + period.mine_held, period.leased + period.mine_held
  period.held, period.mine_held = period.held - period.mine_held, 0
  local taken = period.lease
  if not (request.leaving or ask.cap == '' or (window and window[1] ~= period.id)) then
    taken = math.min(taken, ask.settled + ask.returned)
  end
  period.lease, period.leased = period.lease - taken, period.leased - taken
  return period
end

-- 7: grant

local may_grant = not request.leaving and head.rebuild <= now

local function grant(ask, period, cap)
  local want, need = ask.want, ask.need
  if want <= 0 then
    return 0
  end
  local free = math.max(0, cap - period.committed - period.leased - period.held)
  local granted = math.min(want, math.max(need, math.floor(free / (period.holders + 1))), free)
  if granted < need then
    period.short, period.short_until = me, now + number(request.lease)
    return 0
  end
  if granted > 0 then
    period.leased, period.lease = period.leased + granted, period.lease + granted
    if period.short == me then
      period.short, period.short_until = '', 0
    end
    note('grant', period.budget, period.id, granted, '')
  end
  return granted
end

-- 8: thresholds

local function threshold_amount(limit, basis_points)
  local rest = limit % WHOLE * basis_points % WHOLE
  return math.max(1, part_of(limit, basis_points) + (rest > 0 and 1 or 0))
end

local function forecast_amount(limit, basis_points, period)
  local passed = math.floor((now - period.from) * WHOLE / (period.till - period.from))
  if passed < WHOLE / 10 then
    return nil
  end
  return threshold_amount(threshold_amount(limit, basis_points), passed)
end

local raised_alerts = {}

local function raise_alert(ask, period, threshold, spent)
  local basis_points, forecast, severity, name = unpack(threshold)
  raised_alerts[#raised_alerts + 1] = {
    table.concat({ask.budget, period.id, name, digits(now)}, '/'),
    ask.budget, ask.definition, period.id, digits(basis_points), forecast, severity,
    digits(period.limit), digits(spent), digits(now), digits(period.till),
  }
  note('alert', ask.budget, period.id, spent, string.format('%d.%02d %%%s of %s, %s', math.floor(basis_points / 100),
    basis_points % 100, forecast and ' forecast' or '', digits(period.limit), severity))
end

local function raise_alerts(ask, period)
  local spent, limit = most(period.committed + period.overdraft), period.limit
  if spent == 0 and period.raised == '' then
    return
  end
  local raised = {}
  for name in period.raised:gmatch('[^,]+') do
    raised[name] = true
  end
  local highest, found = {}, {}
  for _, said in ipairs(ask.thresholds) do
    local basis_points, forecast = number(said[1]), said[2]
    local name = said[1] .. (forecast and 'f' or '')
    local is_spent = spent >= threshold_amount(limit, basis_points)
    if raised[name] then
      if not forecast and spent < threshold_amount(limit, math.max(0, basis_points - RE_ARMED_BELOW)) then
        raised[name] = nil
      end
    else
      local foreseen = forecast and not is_spent and forecast_amount(limit, basis_points, period)
      if is_spent or (foreseen and spent >= foreseen) then
        raised[name] = true
        -- That what is spent was foreseen is no news.
        if not (forecast and is_spent) then
          if not highest[forecast] then
            found[#found + 1] = forecast
          end
          if not highest[forecast] or basis_points > highest[forecast][1] then
            highest[forecast] = {basis_points, forecast, said[3], name}
          end
        end
      end
    end
  end
  local names = {}
  for name in pairs(raised) do
    names[#names + 1] = name
  end
  table.sort(names)
  period.raised = table.concat(names, ',')
  for _, forecast in ipairs(found) do
    raise_alert(ask, period, highest[forecast], spent)
  end
end

-- 5 to 8, for one budget

local function answer(ask)
  reap(ask)
  local window
  for _, given in ipairs(ask.windows) do
    if number(given[2]) <= now and now < number(given[3]) then
      window = given
      break
    end
  end
  local settled = settle(ask, window)
  if not window then
    local limit = limit_of(ask)
    local cap = cap_of(ask, limit)
    local lease = digits(settled and settled.lease or 0)
    return {ask.budget, false, digits(limit), cap and digits(cap), {'0', '0', '0', '0', '0', lease}, false}
  end
  local period = period_of(ask.name .. ':' .. window[1], ask.budget, window[1])
  period.from, period.till = number(window[2]), number(window[3])
  bring_up_to_date(period, ask)
  local cap = cap_of(ask, period.limit)
  local granted = cap and may_grant and grant(ask, period, cap) or 0
  period.expires = math.min(now + number(request.lease), period.till)
  raise_alerts(ask, period)
  local amounts = {digits(period.committed), digits(period.leased), digits(period.held), digits(period.overdraft),
    digits(granted), digits(period.lease)}
  local wanted_by_others = period.short ~= '' and period.short ~= me and now < period.short_until
  return {ask.budget, window, digits(period.limit), cap and digits(cap), amounts, wanted_by_others}
end

local standings = {}
for i, ask in ipairs(request.asks) do
  standings[i] = answer(ask)
end

-- 9: alerts. Read here, written below.

local alerts, claims, claimants = prefix .. 'alerts', prefix .. 'claims', prefix .. 'claimants'
local delivered, gone, handed_out, freed = {}, {}, {}, {}

local function is_stale(alert)
  return number(alert[10]) <= now - ALERTS_KEPT and number(alert[11]) <= now
end

for _, id in ipairs(request.delivered) do
  delivered[id] = true
  gone[#gone + 1] = id
end
for _, alert in ipairs(raised_alerts) do
  local stored = redis.call('HGET', alerts, alert[1])
  if stored then
    alert[12] = cjson.decode(stored)[12]
  else
    head.alerts = head.alerts + 1
    alert[12] = digits(head.alerts)
  end
end
if #raised_alerts > 0 then
  for _, stored in ipairs(redis.call('HVALS', alerts)) do
    local alert = cjson.decode(stored)
    if is_stale(alert) then
      gone[#gone + 1] = alert[1]
    end
  end
end
if request.leaving then
  local held = redis.call('HGETALL', claimants)
  for i = 1, #held, 2 do
    if held[i + 1] == me then
      freed[#freed + 1] = held[i]
    end
  end
elseif request.wants_alerts then
  local free, by_id = {}, {}
  local ids = redis.call('ZRANGEBYSCORE', claims, '-inf', digits(now))
  for i, stored in ipairs(#ids > 0 and get(alerts, ids) or {}) do
    if stored then
      by_id[ids[i]] = cjson.decode(stored)
    end
  end
  for _, alert in ipairs(raised_alerts) do
    by_id[alert[1]] = alert
  end
  for id, alert in pairs(by_id) do
    if not delivered[id] and not is_stale(alert) then
      free[#free + 1] = alert
    end
  end
  table.sort(free, function(one, other) return number(one[12]) < number(other[12]) end)
  for i = 1, math.min(#free, MOST_ALERTS) do
    handed_out[i] = free[i]
  end
end

-- The reply, and a last look at what is written without having been read.

local listed_anew = false
for _, period in ipairs(order) do
  listed_anew = listed_anew or digits(period.till) ~= period.was[2]
end
if listed_anew then
  expect('zset', {'periods'})
end
if #raised_alerts + #gone + #handed_out > 0 then
  expect('zset', {'claims'})
  expect('hash', {'alerts', 'claimants'})
end

local reply_usage = {}
for _, meter in ipairs(request.meters) do
  reply_usage[meter] = digits(used(request.month, meter))
end
local reply = cjson.encode({
  sequence = request.sequence, now = digits(now), standings = standings, usage = reply_usage, alerts = handed_out,
})

-- Everything has been read and decided. What follows only writes.

append(notes)
redis.call('HSET', process, 'sequence', request.sequence, 'reply', reply)
redis.call('PEXPIRE', process, digits(KEPT_MONTH))
if #raised_alerts > 0 then
  redis.call('HSET', ledger, 'alerts', digits(head.alerts))
end

for month, meters in pairs(usage_changed) do
  local words = {}
  for meter in pairs(meters) do
    words[#words + 1] = meter
    words[#words + 1] = digits(usage[month][meter])
  end
  set(prefix .. 'usage:' .. month, words)
  redis.call('PEXPIRE', prefix .. 'usage:' .. month, digits(KEPT_MONTH))
end
for key, words in pairs(seen_changed) do
  set(key, words)
  redis.call('PEXPIRE', key, digits(KEPT_MONTH))
end

for key, members in pairs(reaped) do
  redis.call('ZREM', key, unpack(members))
end
for _, period in ipairs(order) do
  local had = number(period.was[16], 0) > 0
  local has = period.lease > 0
  local texts = {digits(period.from), digits(period.till), period.definition, period.meter,
    digits(period.configured), period.cap, digits(period.limit), digits(period.committed), digits(period.leased),
    digits(period.held), digits(period.overdraft), period.raised, period.short, digits(period.short_until),
    digits(period.holders + (has and 1 or 0))}
  local words, emptied = {}, {}
  for i, text in ipairs(texts) do
    if text ~= period.was[i] then
      words[#words + 1] = FIELDS[i]
      words[#words + 1] = text
    end
  end
  if period.lease ~= number(period.was[16], 0) then
    period.leases['lease ' .. me] = period.lease
  end
  if period.mine_held ~= number(period.was[17], 0) then
    period.leases['held ' .. me] = period.mine_held
  end
  for field, amount in pairs(period.leases) do
    if amount > 0 then
      words[#words + 1] = field
      words[#words + 1] = digits(amount)
    else
      emptied[#emptied + 1] = field
    end
  end
  if #words > 0 then
    redis.call('HSET', period.key, unpack(words))
  end
  if #emptied > 0 then
    redis.call('HDEL', period.key, unpack(emptied))
  end
  if texts[2] ~= period.was[2] then
    redis.call('HSET', period.key, 'budget', period.budget, 'period', period.id)
    redis.call('PEXPIRE', period.key, digits(period.till + KEPT - now))
    redis.call('ZADD', prefix .. 'periods', texts[2], period.key)
    redis.call('ZREMRANGEBYSCORE', prefix .. 'periods', '-inf', digits(now - KEPT))
  end
  local leases = prefix .. 'leases:' .. period.name:sub(1, -#period.id - 2)
  local member = period.id .. '\n' .. me
  if has and (period.expires or not had) then
    redis.call('ZADD', leases, digits(period.expires or now), member)
    if not had then
      redis.call('PEXPIRE', leases, digits(math.max(period.till - now, 0) + KEPT))
    end
  elseif had and not has then
    redis.call('ZREM', leases, member)
  end
end

for _, alert in ipairs(raised_alerts) do
  redis.call('HSET', alerts, alert[1], cjson.encode(alert))
  redis.call('ZADD', claims, 0, alert[1])
end
for _, id in ipairs(freed) do
  redis.call('ZADD', claims, 'XX', 0, id)
end
for _, alert in ipairs(handed_out) do
  redis.call('ZADD', claims, digits(now + number(request.claim)), alert[1])
  redis.call('HSET', claimants, alert[1], me)
end
for _, id in ipairs(gone) do
  redis.call('HDEL', alerts, id)
  redis.call('ZREM', claims, id)
  redis.call('HDEL', claimants, id)
end
return reply
