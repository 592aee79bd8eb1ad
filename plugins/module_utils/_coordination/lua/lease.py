# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua of the lease: one holder, a deadline in server time, a fence, and a projection that operators see.

The record is the hash ``larry:lease:<resource>``. The projection (``task:lock:<id>``, ``lock:<name>``) is a plain
string that expires at the record's deadline. A projection that is gone or changed before the deadline was revoked by
an operator; one that somebody else set is honoured until it expires.
"""

from __future__ import annotations

LEASE = r"""
local function lease_key(resource) return K('larry:lease:' .. resource) end

-- Whether a lease without a projection (of a slot) is held.
local function lease_held(resource)
  local rec = redis.call('HMGET', lease_key(resource), 'token', 'deadline')
  return rec[1] and NOW < tonumber(rec[2])
end

-- True if the projection of this record is the one that we wrote (value and expiry both ours). A Cluster that moves the
-- slot to another node can set the expiry some milliseconds later.
local MOVED_MS = 250
local function projection_is_ours(rec)
  local value = redis.call('GET', K(rec.public))
  if value ~= rec.value then return false, value end
  local late = redis.call('PEXPIRETIME', K(rec.public)) - tonumber(F(tonumber(rec.deadline) / 1000))
  return late >= 0 and late <= MOVED_MS, value
end

-- `held`: the caller has just seen that it is, so the projection is ours.
local function lease_clear(resource, rec, held)
  if rec.public and rec.public ~= '' and (held or projection_is_ours(rec)) then redis.call('DEL', K(rec.public)) end
  redis.call('HDEL', lease_key(resource), 'token', 'deadline')
  redis.call('ZREM', K('larry:timers'), 'lease:' .. resource)
  if rec.controller then redis.call('SREM', K('larry:held:' .. rec.controller), resource) end
end

-- Looks at a lease without changing it: held, revoked, lapsed, foreign or free, with the record.
local function lease_look(resource, public)
  local rec = H(lease_key(resource))
  local foreign = nil
  if rec.token then
    local ours, value = true, nil
    if rec.public ~= '' then ours, value = projection_is_ours(rec) end
    if NOW < tonumber(rec.deadline) then
      if ours then return 'held', rec end
      -- The projection of a lease in its last milliseconds may have expired just before the record's deadline.
      if value or tonumber(rec.deadline) - NOW > 5000 then return 'revoked', rec, value end
    end
    return 'lapsed', rec, (not ours) and value or nil
  end
  local name = public or rec.public
  if name and name ~= '' then foreign = redis.call('GET', K(name)) end
  if foreign then return 'foreign', rec, foreign end
  return 'free', rec
end

local function lease_fence(rec)
  local last = tonumber(rec.fence or '0')
  -- guard: fence_grows (law 2)
  return math.max(last + 1, NOW)
end

-- o: public, value, owner, controller, host, worker, ttl_ms, hard (microseconds or nil), reason, timer (boolean)
local function lease_take(resource, rec, o)
  local fence = lease_fence(rec)
  if rec.controller and rec.controller ~= o.controller then
    redis.call('SREM', K('larry:held:' .. rec.controller), resource)
  end
  local deadline_ms = math.floor(NOW / 1000) + o.ttl_ms
  if o.hard then deadline_ms = math.min(deadline_ms, math.floor(o.hard / 1000)) end
  local deadline = F(deadline_ms * 1000)
  redis.call('HSET', lease_key(resource), 'token', o.token, 'fence', F(fence), 'deadline', deadline,
    'owner', o.owner, 'controller', o.controller, 'host', o.host or '', 'ttl', F(o.ttl_ms),
    'hard', o.hard and F(o.hard) or '', 'public', o.public or '', 'value', o.value or '',
    'reason', o.reason or '', 'since', F(NOW), 'renewed', F(NOW), 'member', RUN and '1' or '')
  redis.call('PERSIST', lease_key(resource))
  if o.public and o.public ~= '' then redis.call('SET', K(o.public), o.value, 'PXAT', F(deadline_ms)) end
  if o.timer then redis.call('ZADD', K('larry:timers'), deadline, 'lease:' .. resource) end
  redis.call('SADD', K('larry:held:' .. o.controller), resource)
  redis.call('PEXPIRE', K('larry:held:' .. o.controller), 7 * 86400 * 1000)
  return F(fence), deadline
end

-- Moves the deadline of a lease that is held; never past its hard deadline.
local function lease_extend(resource, rec, ttl_ms)
  local deadline_ms = math.floor(NOW / 1000) + ttl_ms
  if rec.hard ~= '' then deadline_ms = math.min(deadline_ms, math.floor(tonumber(rec.hard) / 1000)) end
  local deadline = F(deadline_ms * 1000)
  redis.call('HSET', lease_key(resource), 'deadline', deadline, 'renewed', F(NOW), 'ttl', F(ttl_ms))
  if rec.public ~= '' then redis.call('PEXPIREAT', K(rec.public), F(deadline_ms)) end
  if redis.call('ZSCORE', K('larry:timers'), 'lease:' .. resource) then
    redis.call('ZADD', K('larry:timers'), deadline, 'lease:' .. resource)
  end
  rec.deadline = deadline
  return deadline
end

local function lease_view(resource, state, rec, foreign)
  local view = {resource = resource, state = state}
  if state == 'held' then
    view.owner, view.fence, view.controller, view.host = rec.owner, rec.fence, rec.controller, rec.host
    view.reason, view.deadline, view.since = rec.reason, rec.deadline, rec.since
    view.left_ms = math.ceil((tonumber(rec.deadline) - NOW) / 1000)
  elseif state == 'foreign' then
    view.owner = foreign
  end
  return view
end
"""

# A stand-alone lock: `slots` leases lock/<name>/<slot> with one sequence of fences in lock/<name>.
LOCK = r"""
local function lock_public(name, slots, slot)
  return slots == 1 and 'lock:' .. name or 'lock:' .. name .. ':' .. slot
end
local function lock_resource(name, slot) return 'lock/' .. name .. '/' .. slot end
local FORGET_MS = 7 * 86400 * 1000  -- a lock nobody uses is forgotten; its next fence is the clock, so it still grows

local function lock_end(name, slots, slot, rec, held)
  lease_clear(lock_resource(name, slot), rec, held)
  redis.call('PEXPIRE', lease_key(lock_resource(name, slot)), FORGET_MS)
  redis.call('PEXPIRE', K('larry:lock:' .. name), FORGET_MS)
  ring('lock:' .. name)
  redis.call('PEXPIRE', K('larry:bell:lock:' .. name), FORGET_MS)
end

-- Puts away what lapsed or was revoked; returns what is left: held, foreign or free.
local function lock_observe(name, slots, slot)
  local resource = lock_resource(name, slot)
  local state, rec, foreign = lease_look(resource, lock_public(name, slots, slot))
  if state == 'revoked' or state == 'lapsed' then
    emit(state == 'revoked' and 'lease_revoked' or 'lease_lapsed', {resource = 'lock:' .. name, holder = rec.owner,
      fence = rec.fence})
    lock_end(name, slots, slot, rec)
    state, rec, foreign = lease_look(resource, lock_public(name, slots, slot))
  end
  return state, rec, foreign
end

local function lock_in_use(name, slots)
  for slot = 1, slots do
    local state = lease_look(lock_resource(name, slot), lock_public(name, slots, slot))
    if state == 'held' then return true end
  end
  return false
end
"""

LOCK_ACQUIRE = r"""
local function main()
  if ctx.member then require_member() end
  local name, slots = args.name, args.slots
  local key = K('larry:lock:' .. name)
  local lock = H(key)
  local before = recall_in(lock.ops) or recall_lately()
  if before then
    -- A repeated acquire is answered as the first time, unless the lease is gone since.
    local state, rec = lease_look(lock_resource(name, before.slot), lock_public(name, slots, before.slot))
    if state == 'held' and rec.token == args.token and rec.fence == before.fence then return before end
    -- The lease of that acquire is over; taking it anew for a repeated call would be a holder nobody knows of.
    refuse('over', {fence = before.fence})
  end
  local known = tonumber(lock.slots or '0')
  if known > 0 and known ~= slots and lock_in_use(name, known) then
    refuse('other_slots', {slots = known, wanted = slots})
  end
  local free, holders, soonest = nil, {}, nil
  for slot = 1, slots do
    local state, rec, foreign = lock_observe(name, slots, slot)
    if state == 'held' and rec.token == args.token then
      return {status = 'held', fence = rec.fence, deadline = rec.deadline, slot = slot, already = true}
    elseif state == 'free' and not free then
      free = {slot = slot, rec = rec}
    end
    if state == 'held' or state == 'foreign' then
      local view = lease_view('lock:' .. name, state, rec, foreign)
      if state == 'foreign' then view.left_ms = redis.call('PTTL', K(lock_public(name, slots, slot))) end
      holders[#holders + 1] = view
      if view.left_ms and view.left_ms >= 0 and (not soonest or view.left_ms < soonest) then soonest = view.left_ms end
    end
  end
  if not free then
    if args.first then
      redis.call('HINCRBY', key, 'refusals', 1)
      if ctx.member then
        emit('lease_refused', {resource = 'lock:' .. name, owner = holders[1].owner, by = args.owner})
      end
    end
    return {status = 'busy', holders = holders, soonest_ms = soonest, bell = bell('lock:' .. name)}
  end
  local rec = free.rec
  rec.fence = lock.fence
  local fence, deadline = lease_take(lock_resource(name, free.slot), rec, {token = args.token, owner = args.owner,
    controller = ctx.controller, host = ctx.host, ttl_ms = args.ttl_ms, reason = args.reason,
    public = lock_public(name, slots, free.slot), value = args.owner})
  redis.call('HSET', key, 'fence', fence, 'slots', slots)
  if ctx.member then
    -- A lock of the run goes with the run.
    redis.call('SADD', K('larry:extra'), 'larry:lock:' .. name, 'larry:bell:lock:' .. name,
      'larry:lease:' .. lock_resource(name, free.slot), lock_public(name, slots, free.slot))
  end
  redis.call('HINCRBY', key, 'acquisitions', 1)
  redis.call('PERSIST', key)
  emit('lease_acquired', {resource = 'lock:' .. name, holder = args.owner, fence = fence, slot = free.slot})
  return remember(key, 16, remember_lately({status = 'held', fence = fence, deadline = deadline, slot = free.slot}))
end
"""

LOCK_RELEASE = r"""
local function main()
  if ctx.member then require_member() end
  local name = args.name
  local key = K('larry:lock:' .. name)
  local lock = pick(key, {'slots', 'ops'})
  local before = recall_in(lock.ops)
  if before then return before end
  local slots = tonumber(lock.slots or args.slots)
  local released, holders = {}, {}
  for slot = 1, slots do
    local state, rec, foreign = lock_observe(name, slots, slot)
    if state == 'held' and (rec.token == args.token or args.force) then
      released[#released + 1] = {owner = rec.owner, fence = rec.fence, slot = slot}
      if not args.probe then
        emit(args.force and 'lease_revoked' or 'lease_released', {resource = 'lock:' .. name, holder = rec.owner,
          fence = rec.fence, cause = args.reason})
        lock_end(name, slots, slot, rec, true)
      end
    elseif state == 'foreign' and args.force then
      released[#released + 1] = {owner = foreign, slot = slot}
      if not args.probe then
        redis.call('DEL', K(lock_public(name, slots, slot)))
        emit('lease_revoked', {resource = 'lock:' .. name, holder = foreign, cause = args.reason})
        ring('lock:' .. name)
      end
    elseif state == 'held' or state == 'foreign' then
      holders[#holders + 1] = lease_view('lock:' .. name, state, rec, foreign)
    end
  end
  local reply = {status = #released > 0 and 'released' or 'not_held', released = released, holders = holders}
  if #released > 0 and not args.probe then remember(key, 16, reply) end
  return reply
end
"""

LOCK_CHECK = r"""
local function main()
  local name = args.name
  local lock = H(K('larry:lock:' .. name))
  local slots = tonumber(lock.slots or '1')
  local holders, mine = {}, nil
  for slot = 1, slots do
    local state, rec, foreign = lease_look(lock_resource(name, slot), lock_public(name, slots, slot))
    if state == 'held' or state == 'foreign' then
      local view = lease_view('lock:' .. name, state, rec, foreign)
      if state == 'foreign' then view.left_ms = redis.call('PTTL', K(lock_public(name, slots, slot))) end
      view.slot = slot
      holders[#holders + 1] = view
      if args.token and rec.token == args.token then mine = view end
    end
  end
  return {status = 'seen', slots = slots, holders = holders, mine = mine, fence = lock.fence,
    acquisitions = tonumber(lock.acquisitions or '0'), refusals = tonumber(lock.refusals or '0')}
end
"""

LOCK_EXTEND = r"""
local function main()
  if ctx.member then require_member() end
  local name = args.name
  local slots = tonumber(redis.call('HGET', K('larry:lock:' .. name), 'slots') or '1')
  local before = recall_lately()
  for slot = 1, slots do
    local state, rec = lock_observe(name, slots, slot)
    if state == 'held' and rec.token == args.token then
      -- guard: repeat. The same call sent again moves nothing, also where the holder has taken the lock anew.
      if before then return before.fence == rec.fence and before or {status = 'not_held'} end
      return remember_lately({status = 'held', fence = rec.fence, slot = slot,
        deadline = lease_extend(lock_resource(name, slot), rec, args.ttl_ms)})
    end
  end
  return {status = 'not_held'}
end
"""
