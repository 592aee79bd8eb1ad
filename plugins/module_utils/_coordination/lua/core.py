# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua shared by every script: time, keys, the log and the guards.

Only Python files travel with an Ansible module, so Lua lives in string constants.
"""

from __future__ import annotations

# Numbers above 2**53 do not exist here (microseconds stay below it until the year 2255), but `..`, tostring and
# cjson round at 14 digits: every number that may be large leaves through F().
CORE = r"""
local PREFIX = string.sub(KEYS[1], 1, -11)  -- KEYS[1] is <prefix>larry:meta
local ctx = cjson.decode(ARGV[1])
local args = cjson.decode(ARGV[2])
local NOW
do
  local t = redis.call('TIME')
  NOW = tonumber(t[1]) * 1000000 + tonumber(t[2])
end

local function K(name) return PREFIX .. name end
local function F(number) return string.format('%.0f', number) end

local function H(key)
  local flat = redis.call('HGETALL', key)
  local out = {}
  for i = 1, #flat, 2 do out[flat[i]] = flat[i + 1] end
  return out
end

-- Some fields of a hash by their names: of a large one that costs a fraction of all of it.
local function pick(key, names)
  local found = redis.call('HMGET', key, unpack(names))
  local out = {}
  for i = 1, #names do
    if found[i] then out[names[i]] = found[i] end
  end
  return out
end

-- A reply that ends the script before anything was changed.
local function refuse(status, fields)
  local reply = fields or {}
  reply.status = status
  reply.refused = true
  error(reply)
end

-- Civil date from days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
local function iso(us)
  local seconds = math.floor(us / 1000000)
  local days = math.floor(seconds / 86400)
  local rest = seconds - days * 86400
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year, month, day, math.floor(rest / 3600),
    math.floor(rest % 3600 / 60), rest % 60, us - seconds * 1000000)
end

local ALERTS = {task_conflict = true, worker_failure = true, critical_cve = true, rollback_initiated = true,
  tokens_reserve_deployed = true}
local RUN = nil
local MOMENT = nil  -- NOW as text, once it was needed
local MEMBER = false  -- true once the caller has passed the guard of members
local bridge_absence  -- defined with the history, in the scripts of runs

local function message(event, data, id, spliced)
  data.id = id
  data.event = event
  MOMENT = MOMENT or iso(NOW)
  data.timestamp = MOMENT
  data.run = RUN and RUN.id or ''
  data.from = data.from or ctx.actor or 'coordination'
  local text = cjson.encode(data)
  -- What a caller published travels as its own JSON: cjson would round its numbers and turn empty lists to objects.
  if spliced and spliced ~= '' then text = string.sub(text, 1, -2) .. ',' .. spliced .. '}' end
  return text
end

local function publish(event, text)
  redis.call('PUBLISH', K(ALERTS[event] and 'larry:alerts' or 'larry:coordination'), text)
end

-- State, log entry and message change in one script (law 9). Outside a run there is no archive that would take the
-- log, so that log is bounded.
local function emit(event, data, spliced)
  -- The log of a finished run is closed: its report and its archive hold the head.
  if RUN and RUN.state == 'finished' and event ~= 'run_complete' then return end
  if RUN and RUN.id then
    local seq = redis.call('HINCRBY', K('larry:run'), 'seq', 1)
    local text = message(event, data, F(seq), spliced)
    redis.call('XADD', K('larry:log'), F(seq) .. '-0', 'm', text)
    if RUN.seq_at ~= F(NOW) then redis.call('HSET', K('larry:run'), 'seq_at', F(NOW)) end
    RUN.seq, RUN.seq_at = F(seq), F(NOW)
    publish(event, text)
  else
    local seq = redis.call('INCR', K('larry:standalone:sequence'))
    local text = message(event, data, F(seq), spliced)
    redis.call('XADD', K('larry:standalone:log'), 'MAXLEN', '~', 10000, F(seq) .. '-0', 'm', text)
    publish(event, text)
  end
end

-- A message without a log entry (progress): its id sorts after the last entry.
local function tell(event, data)
  local last = RUN and RUN.seq or '0'
  publish(event, message(event, data, last .. '.' .. F(NOW)))
end

-- Wakes whoever waits for a change of `name`; the entry id only grows, so no wake-up is lost.
local function ring(name)
  redis.call('XADD', K('larry:bell:' .. name), 'MAXLEN', 1, '*', 'b', '')
end
local function bell(name)
  local last = redis.call('XREVRANGE', K('larry:bell:' .. name), '+', '-', 'COUNT', 1)
  return last[1] and last[1][1] or '0-0'
end

-- Law 3: a resource keeps its last operations and replies, so a repeated call gets the first answer. They are kept as
-- lines, the newest first, each an operation and its reply: to find one, and to let the oldest go, nothing is decoded.
-- JSON from cjson holds no raw line break or tab.
local function recall_in(kept)
  if not kept then return nil end
  local _, before = string.find(kept, '\n' .. ctx.op .. '\t', 1, true)
  if not before then return nil end
  return cjson.decode(string.sub(kept, before + 1, (string.find(kept, '\n', before, true) or 0) - 1))
end
local function recall(key, field) return recall_in(redis.call('HGET', key, field or 'ops')) end
local function remember(key, size, reply, field)
  local lines = '\n' .. ctx.op .. '\t' .. cjson.encode(reply)
  if size > 1 then
    local kept = redis.call('HGET', key, field or 'ops') or ''
    local oldest = 0
    for _ = 1, size do
      oldest = string.find(kept, '\n', oldest + 1, true)
      if not oldest then break end
    end
    lines = lines .. (oldest and string.sub(kept, 1, oldest - 1) or kept)
  end
  redis.call('HSET', key, field or 'ops', lines)
  return reply
end

-- Law 3 where many other calls can pass between a call and its repetition: the answers of the last minute at least.
-- The keys have the minute in their names and expire.
local LATELY_US = 60 * 1000000
local function lately(minutes_ago) return K('larry:lately:' .. F(math.floor(NOW / LATELY_US) - minutes_ago)) end
local function recall_lately()
  local kept = redis.call('HGET', lately(0), ctx.op) or redis.call('HGET', lately(1), ctx.op)
  return kept and cjson.decode(kept) or nil
end
local function remember_lately(reply)
  redis.call('HSET', lately(0), ctx.op, cjson.encode(reply))
  redis.call('PEXPIRE', lately(0), 2 * LATELY_US / 1000)
  return reply
end

-- What the scripts want to know of the run; a test compares this list with what they read.
local RUN_FIELDS = {'id', 'state', 'epoch', 'seq', 'seq_at', 'plan', 'digest', 'started_at', 'previous', 'lost',
  'alive_at'}
local function load_run()
  local run = pick(K('larry:run'), RUN_FIELDS)
  if run.id then RUN = run end
  return RUN
end

-- Why the server has not what the caller has seen of this run: nil if it has.
local function missing_history(seen)
  local epoch, known = tonumber(RUN.epoch) or 0, tonumber(seen.epoch) or 0
  if epoch < known then return 'epoch' end
  if epoch > known then return nil end  -- recovered since
  local last, entry = tonumber(RUN.seq), tonumber(seen.seq)
  if last < entry then return 'behind' end
  if last == entry then
    if (RUN.seq_at or '0') ~= seen.at then return 'diverged' end
    return nil
  end
  -- The log has grown since; the entry that was seen must be in it, of that moment.
  local found = redis.call('XRANGE', K('larry:log'), seen.seq .. '-0', seen.seq .. '-0')
  if not found[1] or not string.find(found[1][2][2], '"timestamp":"' .. iso(tonumber(seen.at)) .. '"', 1, true) then
    return 'diverged'
  end
  return nil
end

-- guard: history (law 10). Where the caller has seen more than there is, nothing is changed until it is recovered.
-- Once one caller noticed that, the run is marked, and those who have seen nothing are refused as well.
local function require_history(joining)
  local seen, why = ctx.seen, nil
  if not seen then
    if RUN and RUN.lost then why = 'told' end
  elseif not RUN then
    why = 'gone'
  elseif RUN.id ~= seen.run then
    -- A run that was finished and replaced is no loss.
    if RUN.previous ~= seen.run then why = 'other_run' end
  elseif RUN.state ~= 'deleting' then
    why = missing_history(seen)
    if why and RUN.state == 'running' and not RUN.lost then redis.call('HSET', K('larry:run'), 'lost', why) end
    if not why and RUN.lost then why = 'told' end
    if not why and not joining and (tonumber(RUN.epoch) or 0) > (tonumber(seen.epoch) or 0) then
      refuse('other_epoch', {run = RUN.id, epoch = RUN.epoch})
    end
  end
  if why then
    refuse('history_lost', {why = why, run = RUN and RUN.id or nil, epoch = RUN and RUN.epoch or nil,
      seq = RUN and RUN.seq or nil, seen = seen})
  end
end

-- guard: member. A controller that has not joined the run there is now changes nothing in it.
local function require_member()
  load_run()
  require_history(false)
  if not RUN or RUN.state == 'creating' or RUN.state == 'deleting' then refuse('no_run') end
  if redis.call('HEXISTS', K('larry:controllers'), ctx.controller) == 0 then
    refuse('not_joined', {run = RUN.id, plan = RUN.plan})
  end
  MEMBER = true
  if bridge_absence then bridge_absence() end
end
"""

# Appended to every script: runs main() and turns a refusal into an ordinary reply. A member learns with each reply how
# far the history goes.
DISPATCH = r"""
local fine, reply = pcall(main)
if not fine and not (type(reply) == 'table' and reply.refused) then error(reply) end
if MEMBER and RUN and type(reply) == 'table' then
  reply.h = {run = RUN.id, epoch = RUN.epoch, seq = RUN.seq, at = RUN.seq_at or '0',
    over = RUN.state == 'finished' or nil}
end
return cjson.encode(reply)
"""
