"""What the inbox does inside Redis: one script each, run as a whole and so never half.

Below the key of a tenant, which all scripts get as theirs (so that a cluster and its clients know the slot; what the
scripts make of it is in the same one, by its hash tag):

    <tenant>                 hash: epoch, begin (the newest offset when the epoch began), newest, bytes, run, safe
    <tenant>:entries         sorted set by offset: `<offset> <record>`, the one copy of each entry
    <tenant>:due             sorted set by the moment it expires (ms): offset
    <tenant>:log:<uid>       sorted set by offset: offset
    <tenant>:keys:<uid>      hash: collapse key to offset
    <tenant>:id:…            offset, kept for as long as the id is remembered

and for all tenants together, below the root that the keys of all begin with,

    <root>                   hash: ticks (how many there were), era (a text that is another one once it was wiped)
    <root>:ticks             stream, whose numbers have no hole: tenant, offset, epoch and uid of each entry that was
                             appended; the oldest are trimmed
    <root>+cursors:…         hash: device to `<offset> <epoch> <stored>`

A record is two sizes, the uid, the collapse key and the payload; see redis_entry.
"""

from hashlib import sha1

from pushgate.redis.link import Command

OVERHEAD = 500
"""Bytes that an entry counts beside its record: what Redis takes for it in the structures above while its id is
remembered (measured: 410 to 510); 270 to 390 after."""
TICKS = 100_000
"""Ticks that are kept, about, some 60 bytes each. Who is further behind begins anew."""
SWEPT = 100
"""Entries that one append takes away when their time is over, and one sweep ten times as many."""


class Script:
    """A script by its digest, which the server knows it by once it was loaded on the connection."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._digest = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def call(self, key: str, *arguments: bytes | str | int) -> Command:
        """Return the command that runs it."""
        return ("EVALSHA", self._digest, 1, key, *arguments)


_COMMON = f"""
local base = KEYS[1]
local entries, due = base .. ':entries', base .. ':due'

-- a cluster refuses keys that are not there while their slot moves: better now than in the middle
redis.call('EXISTS', base .. ':none')

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function remove(offset)
  local member = redis.call('ZRANGE', entries, offset, offset, 'BYSCORE')[1]
  redis.call('ZREM', due, offset)
  if not member then return end
  redis.call('ZREM', entries, member)
  local head = string.find(member, ' ', 1, true) + 1
  local uid_size, key_size, at = struct.unpack('>I2I4', member, head)
  local uid = string.sub(member, at, at + uid_size - 1)
  redis.call('ZREM', base .. ':log:' .. uid, offset)
  if key_size > 0 then
    local key = string.sub(member, at + uid_size, at + uid_size + key_size - 2)
    redis.call('HDEL', base .. ':keys:' .. uid, key)
  end
  redis.call('HINCRBY', base, 'bytes', -(#member + {OVERHEAD}))
end

local function sweep(limit)
  local over = redis.call('ZRANGE', due, '-inf', now(), 'BYSCORE', 'LIMIT', 0, limit)
  for _, offset in ipairs(over) do remove(offset) end
  return #over
end
"""

OPEN = Script("""#!lua flags=allow-oom
local run, safe, promoted, fresh, known, followed = unpack(ARGV)
local epoch, newest, before, was_safe = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'newest', 'run', 'safe'))
newest = tonumber(newest or 0)
local may_have_lost = before ~= run and (was_safe ~= '1' or promoted == '1')
local has_lost = epoch == known and newest < tonumber(followed)
if not epoch or may_have_lost or has_lost then
  epoch = fresh
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'begin', newest, 'newest', newest)
end
if before ~= run or was_safe ~= safe then redis.call('HSET', KEYS[1], 'run', run, 'safe', safe) end
return {epoch, tonumber(redis.call('HGET', KEYS[1], 'begin')), newest}
""")
"""Make what a tenant needs, and give it another epoch where it has none, or where the server was started again, or
replaced, and may have lost its last writes by that, or is known to have."""

APPEND = Script(f"""#!lua
{_COMMON}
local root, tenant, window, max_bytes, max_entries = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local epoch = redis.call('HGET', base, 'epoch')
if not epoch then return 'gone' end
sweep({SWEPT})
local stamp = now()

local function append(uid, id, ttl, key, record)
  local log, keys = base .. ':log:' .. uid, base .. ':keys:' .. uid
  local seen = base .. ':id:' .. #uid .. ':' .. uid .. ':' .. id
  local known = redis.call('GET', seen)
  if known then return -tonumber(known) end
  if max_bytes > 0 and tonumber(redis.call('HGET', base, 'bytes') or 0) + #record + {OVERHEAD} > max_bytes then
    return 'inbox_full'
  end
  if key ~= '' then
    local old = redis.call('HGET', keys, string.sub(key, 2))
    if old then remove(old) end
  elseif max_entries > 0 and redis.call('ZCARD', log) - redis.call('HLEN', keys) >= max_entries then
    return 'user_full'
  end
  local newest = redis.call('HINCRBY', base, 'newest', 1)
  local offset = string.format('%.0f', newest)
  local member = offset .. ' ' .. record
  redis.call('ZADD', entries, offset, member)
  redis.call('ZADD', due, stamp + ttl * 1000, offset)
  redis.call('ZADD', log, offset, offset)
  if key ~= '' then redis.call('HSET', keys, string.sub(key, 2), offset) end
  redis.call('HINCRBY', base, 'bytes', #member + {OVERHEAD})
  redis.call('SET', seen, offset, 'PX', window)
  local number = string.format('%.0f-0', redis.call('HINCRBY', root, 'ticks', 1))
  redis.call('XADD', root .. ':ticks', 'MAXLEN', '~', {TICKS}, number, 't', tenant, 'o', offset, 'e', epoch, 'u', uid)
  return newest
end

local outcomes = {{}}
for at = 6, #ARGV, 5 do
  outcomes[#outcomes + 1] = append(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
end
return outcomes
""")
"""Append entries, in order; of each the offset, negative when it was there before, or the code of a refusal. Of a
tenant that was not opened since it was wiped: `gone`. Without entries it says whether the server takes any."""

READ = Script("""#!lua flags=no-writes
local base, after, limit = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found, more = {}, true
while more and #found < limit do
  local offsets, bound = {}, math.huge
  more = false
  for at = 3, #ARGV do
    local log = base .. ':log:' .. ARGV[at]
    local page = redis.call('ZRANGE', log, '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, limit)
    for _, offset in ipairs(page) do offsets[#offsets + 1] = tonumber(offset) end
    if #page == limit then
      more = true
      bound = math.min(bound, tonumber(page[limit]))
    end
  end
  table.sort(offsets)
  for _, offset in ipairs(offsets) do
    if offset > bound or #found == limit then break end
    local expires = redis.call('ZSCORE', base .. ':due', string.format('%.0f', offset))
    if expires and tonumber(expires) > now then
      found[#found + 1] = redis.call('ZRANGE', base .. ':entries', offset, offset, 'BYSCORE')[1]
    end
  end
  after = string.format('%.0f', bound)
end
return found
""")
"""Return the first entries of some logs together, above an offset and not expired."""

SWEEP = Script(f"""#!lua flags=allow-oom
{_COMMON}
return sweep({10 * SWEPT})
""")
"""Take away entries whose time is over, and return how many; fewer than `10 * SWEPT` when there are no more."""

STORE = Script("""#!lua flags=allow-oom
local ttl, now = tonumber(ARGV[1]), tonumber(redis.call('TIME')[1])
for at = 2, #ARGV, 4 do
  local key, device, offset, epoch = KEYS[1] .. ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local kept, higher = redis.call('HGET', key, device), false
  if kept then
    local before, of, stored = string.match(kept, '^(%d+) (%S*) (%d+)$')
    higher = of == epoch and tonumber(before) > tonumber(offset) and tonumber(stored) > now - ttl
  end
  if not higher then
    local added = redis.call('HSET', key, device, offset .. ' ' .. epoch .. ' ' .. now)
    redis.call('EXPIRE', key, ttl)
    if added == 1 and redis.call('HLEN', key) % 16 == 0 then
      local all = redis.call('HGETALL', key)
      for place = 1, #all, 2 do
        if tonumber(string.match(all[place + 1], '%d+$')) <= now - ttl then redis.call('HDEL', key, all[place]) end
      end
    end
  end
end
return 0
""")
"""Store cursors, none lower than one of the same epoch that is there. Every sixteenth new device of a user has those
that have run out taken away; when none was stored for long, Redis forgets them all."""

SCRIPTS = (OPEN, APPEND, READ, SWEEP, STORE)
