-- What every script of the ledger begins with; Redis knows no modules, so this text is put before theirs.
--
-- All keys of a ledger begin with the same hash tag, `{gp:<namespace>}:`, and so lie in one slot of a cluster
-- (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags). All that a request names are
-- passed as KEYS, so that a cluster redirects it, or refuses it while the slot moves; `ledger` is the first, and the
-- scripts name the others by what stands before it there. Periods of which only the stored leases tell cannot be
-- passed: their keys are built here from the same tag, and so are in the same slot.
--
--   ledger            hash    version; journal and alerts: the numbers given last; rebuild: until when nothing is lent
--   process:<p>       hash    sequence and reply: what the process was answered last
--   counted:<p>:<m>   hash    units that the process has counted in a month, by meter and the periods that pay
--   usage:<m>         hash    units that the organisation has used in a month, by meter
--   period:<b>:<p>    hash    a budget in one period; `lease <process>` and `held <process>` are what is lent
--   leases:<b>        zset    `<period>\n<process>` of each lease with an amount, by the moment it expires
--   periods           zset    keys of the known periods, by their end
--   limits            hash    changed limits, by budget
--   overrides         hash    [budget, amount, from, until, reason, actor], by id
--   alerts            hash    alerts to deliver, by id: the fields of Alert, and a number that rises
--   claims            zset    their ids, by the moment until which somebody delivers them; 0: nobody does
--   claimants         hash    who delivers them, by id
--   journal:routine   stream  what processes do every second
--   journal:notable   stream  the rest
--
-- Numbers are doubles in Lua, exact to 2^53 - 1. They travel and are stored as digits: cjson would round them to 14
-- digits, and tostring() writes 1e+15. Whatever could grow beyond 2^53 - 1 stays there.
--
-- A script reads first and writes afterwards, and its first write is one that the server refuses when it is full
-- (OOM), a replica (READONLY) or unable to save (MISCONF). So it changes everything or nothing.

local VERSION = '1'
local LARGEST = 9007199254740991
local DAY = 86400000
local KEPT = 40 * DAY
-- Until what was counted is passed over for its age, it must be known: the longest month and the time it is kept.
local KEPT_MONTH = KEPT + 32 * DAY
local ENTRIES = {['journal:routine'] = 100000, ['journal:notable'] = 10000}
local ROUTINE = {commit = true, overdraft = true, grant = true, reap = true}
local SLICE = 1000  -- words of one command; Lua passes at most some thousand

local prefix = KEYS[1]:sub(1, -#'ledger' - 1)

local function digits(number)
  return string.format('%.0f', number)
end

local function corrupt(what)
  error('CORRUPT ' .. what, 0)
end

local function number(stored, otherwise)
  if not stored then
    return otherwise
  end
  return tonumber(stored) or corrupt('a number is stored as ' .. stored)
end

local function most(amount)
  return math.min(amount, LARGEST)
end

local function set(key, words)
  for first = 1, #words, SLICE do
    redis.call('HSET', key, unpack(words, first, math.min(first + SLICE - 1, #words)))
  end
end

local function get(key, fields)
  local values = {}
  for first = 1, #fields, SLICE do
    local slice = redis.call('HMGET', key, unpack(fields, first, math.min(first + SLICE - 1, #fields)))
    for i = 1, #slice do
      values[#values + 1] = slice[i]
    end
  end
  return values
end

-- For keys that are written without having been read: a wrong type would be noticed when half of it is done.
local function expect(kind, names)
  for _, name in ipairs(names) do
    local found = redis.call('TYPE', prefix .. name).ok
    if found ~= kind and found ~= 'none' then
      corrupt('the key ' .. prefix .. name .. ' is a ' .. found .. ', not a ' .. kind)
    end
  end
end

-- What all keys have in common, and the journal, whose two streams share one numbering.

local ledger = prefix .. 'ledger'
local head
do
  local stored = redis.call('HMGET', ledger, 'version', 'journal', 'alerts', 'rebuild')
  if stored[1] and stored[1] ~= VERSION then
    corrupt('the ledger was written by another version of this package: its format is ' .. stored[1] .. ', not '
      .. VERSION)
  end
  head = {journal = number(stored[2], 0), alerts = number(stored[3], 0), rebuild = number(stored[4], 0)}
end

local function append(notes)
  if #notes == 0 then
    return
  end
  expect('stream', {'journal:routine', 'journal:notable'})
  for i = 1, #notes do
    local at, actor, kind, budget, period, amount, note = unpack(notes[i], 1, 7)
    local stream = ROUTINE[kind] and 'journal:routine' or 'journal:notable'
    head.journal = head.journal + 1
    redis.call('XADD', prefix .. stream, 'MAXLEN', '~', ENTRIES[stream], digits(head.journal) .. '-0',
      'at', digits(at), 'actor', actor, 'kind', kind, 'budget', budget or '', 'period', period or '',
      'amount', digits(amount), 'note', note)
  end
  redis.call('HSET', ledger, 'version', VERSION, 'journal', digits(head.journal))
end

local function clock(given)
  if given ~= '' then
    return number(given)
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
