# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua of the barrier: (name, generation), members, arrivals as leases, and a policy for the dead."""

from __future__ import annotations

# An arrival is a lease `arrival/<barrier>/<member>`; the generation advances only when it opens (or breaks).
# Members come from the plan (the barrier `converge` of a run), as names, or as a count.
BARRIER = r"""
local OUTCOMES_KEPT = 16

-- How an attempt ended, for a member that took part in it: by its token, or by the number of a generation that opened.
local function outcome_for(barrier, member, token, generation, opened)
  for _, entry in ipairs(cjson.decode(barrier.outcomes or '[]')) do
    if entry.tokens[member] == token and (not generation or entry.generation == generation) then return entry end
  end
  if not generation or generation > opened then return nil end
  for _, entry in ipairs(cjson.decode(barrier.outcomes or '[]')) do
    if entry.generation == generation and entry.state == 'open' then return entry end
  end
  return {state = 'open', generation = generation, forgotten = true}
end

-- Ends an attempt: everybody who arrived in it reads the outcome, the next one starts empty. The generation advances
-- only when it opens (law 7), so after a failure the same generation can be met again.
local function end_attempt(name, barrier, generation, state, cause, members, missing)
  local key = K('larry:barrier:' .. name)
  local tokens = H(K('larry:arrived:' .. name))
  local kept = cjson.decode(barrier.outcomes or '[]')
  table.insert(kept, 1, {generation = generation, state = state, cause = cause, members = members, missing = missing,
    tokens = tokens})
  while #kept > OUTCOMES_KEPT do table.remove(kept) end
  redis.call('HSET', key, 'outcomes', cjson.encode(kept))
  if state == 'open' then redis.call('HSET', key, 'generation', generation) end
  redis.call('HDEL', key, 'told')
  for member in pairs(tokens) do
    local resource = 'arrival/' .. name .. '/' .. member
    local _, rec = lease_look(resource)
    lease_clear(resource, rec)
    redis.call('DEL', lease_key(resource))
  end
  redis.call('DEL', K('larry:arrived:' .. name))
  ring('barrier:' .. name)
end

-- Why a Larry is not at the barrier of its run, and whether it is given up.
local function absence(member, barrier)
  local larry = H(larry_key(member))
  if not larry.status then return {member = member, why = 'has not arrived yet'} end
  local state, slot = lease_look('slot/' .. member)
  if state == 'held' then
    -- A Larry whose phase failed but whose controller lives is on its way: it arrives like the others.
    local mode = larry.mode ~= 'running' and ' and ' .. larry.mode or ''
    return {member = member, why = 'its phase is ' .. larry.status .. mode}
  end
  if slot.standby_until and tonumber(slot.standby_until) > NOW then
    return {member = member, why = 'its controller is gone; a standby takes over',
      until_us = tonumber(slot.standby_until)}
  end
  if larry.controller then
    local why = larry.left_at and 'its controller left' or 'its controller ' .. larry.controller .. ' is gone'
    if larry.status == 'failed' then why = 'its phase failed and ' .. why end
    return {member = member, why = why, dead = true}
  end
  local join_by = tonumber(RUN.started_at) + tonumber(barrier.join_within_us)
  if NOW > join_by then
    local seconds = math.floor(tonumber(barrier.join_within_us) / 1000000)
    return {member = member, why = 'it did not join within ' .. seconds .. ' s', dead = true}
  end
  return {member = member, why = 'it has not joined yet', until_us = join_by}
end

-- Who is in, who is missing and why, who is dead, how many are expected, and when that can change by itself.
local function survey(name, barrier, within)
  local arrived, missing, dead, change = {}, {}, {}, nil
  local records = H(K('larry:arrived:' .. name))
  local function soon(at) if at and (not change or at < change) then change = at end end
  local function sort_in(entry)
    soon(entry.until_us)
    entry.until_us = nil
    if entry.dead then dead[#dead + 1] = entry else missing[#missing + 1] = entry end
  end
  for member in pairs(records) do
    local state, rec = lease_look('arrival/' .. name .. '/' .. member)
    if state == 'held' then
      arrived[#arrived + 1] = member
      soon(tonumber(rec.deadline))
    else
      local entry = {member = member, why = 'it arrived and no longer renews its arrival', dead = true}
      if within then
        local why = absence(member, barrier)
        if not why.dead then entry = why end
      end
      sort_in(entry)
    end
  end
  table.sort(arrived)
  if not barrier.members then return arrived, missing, dead, tonumber(barrier.count), change end
  local members = cjson.decode(barrier.members)
  for _, member in ipairs(members) do
    if not records[member] then
      sort_in(within and absence(member, barrier) or {member = member, why = 'has not arrived yet'})
    end
  end
  return arrived, missing, dead, #members, change
end
"""

BARRIER_MEET = r"""
-- The first to arrive fixes who is expected; those who follow must expect the same.
local function expect(key, name, within)
  if args.members then
    redis.call('HSET', key, 'members', cjson.encode(args.members))
    redis.call('HDEL', key, 'count')
  else
    redis.call('HSET', key, 'count', args.count)
    redis.call('HDEL', key, 'members')
  end
  redis.call('HSET', key, 'policy', args.policy, 'join_within_us', args.join_within_us)
  if not within then
    redis.call('PEXPIRE', key, 7 * 86400 * 1000)
  elseif name ~= 'converge' then
    -- A barrier of the run goes with the run.
    redis.call('SADD', K('larry:extra'), 'larry:barrier:' .. name, 'larry:arrived:' .. name,
      'larry:bell:barrier:' .. name)
  end
  return H(key)
end

local function anybody_live(name)
  for _, member in ipairs(redis.call('HKEYS', K('larry:arrived:' .. name))) do
    if lease_look('arrival/' .. name .. '/' .. member) == 'held' then return true end
  end
  return false
end

local function main()
  local within = ctx.member and true or false
  if within then require_member(); tick() end
  local name, member = args.name, args.member
  local key = K('larry:barrier:' .. name)
  local barrier = H(key)
  local opened = tonumber(barrier.generation or '0')
  -- guard: generation. An attempt that ended answers what it ended with, however often it is asked.
  local outcome = outcome_for(barrier, member, args.token, args.generation, opened)
  if outcome then
    return {status = outcome.state, generation = outcome.generation, cause = outcome.cause, members = outcome.members,
      missing = outcome.missing, over = true}
  end
  local generation = args.generation or (opened + 1)
  if generation > opened + 1 then refuse('early_generation', {generation = generation, opened = opened}) end
  if args.members then
    local known = false
    for _, one in ipairs(args.members) do if one == member then known = true end end
    if not known then refuse('no_member', {member = member}) end
  end
  local somebody = redis.call('EXISTS', K('larry:arrived:' .. name)) == 1
  if somebody and args.first and not anybody_live(name) then
    -- What a stopped play left behind: nobody of it is there any more.
    end_attempt(name, barrier, generation, 'failed', 'everybody who had arrived was gone', {}, {})
    somebody = false
  end
  if not barrier.policy or not somebody then barrier = expect(key, name, within) end
  local same
  if args.members then same = barrier.members == cjson.encode(args.members)
  else same = tonumber(barrier.count or '-1') == args.count end
  if not same then refuse('other_members', {members = barrier.members or barrier.count}) end

  local resource = 'arrival/' .. name .. '/' .. member
  local state, rec = lease_look(resource)
  if state == 'held' and rec.token ~= args.token then
    if rec.controller ~= ctx.controller then
      refuse('member_taken', {member = member, controller = rec.controller, host = rec.host,
        left_ms = math.ceil((tonumber(rec.deadline) - NOW) / 1000)})
    end
    redis.call('HSET', lease_key(resource), 'token', args.token)
    redis.call('HSET', K('larry:arrived:' .. name), member, args.token)
  elseif state == 'lapsed' and not args.first then
    return {status = 'failed', generation = generation,
      cause = 'the arrival of ' .. member .. ' lapsed before the barrier opened'}
  elseif state ~= 'held' then
    rec = {fence = rec.fence}
    lease_take(resource, rec, {token = args.token, owner = member, controller = ctx.controller, host = ctx.host,
      ttl_ms = args.ttl_ms, timer = within, reason = name})
    redis.call('HSET', K('larry:arrived:' .. name), member, args.token)
    if not within then
      redis.call('PEXPIRE', K('larry:arrived:' .. name), 7 * 86400 * 1000)
      redis.call('PEXPIRE', K('larry:bell:barrier:' .. name), 7 * 86400 * 1000)
    end
    emit('barrier_arrived', {barrier = name, member = member, generation = generation})
    ring('barrier:' .. name)
  end
  local since = rec.since and tonumber(rec.since) or NOW
  local last_bell = bell('barrier:' .. name)
  if within then
    for _, larry in ipairs(redis.call('SMEMBERS', K('larry:larrys'))) do
      if redis.call('HGET', larry_key(larry), 'mode') == 'paused' then
        -- A pause does not count against the time at the barrier.
        redis.call('HSET', lease_key(resource), 'since', F(NOW))
        return {status = 'waiting', generation = generation, paused = larry, waited_ms = 0, bell = last_bell,
          missing = {{member = larry, why = 'it is paused'}}, next_ms = next_timer_ms()}
      end
    end
  end
  local arrived, missing, dead, expected, change = survey(name, barrier, within)
  local absent = {}
  for _, entry in ipairs(dead) do absent[#absent + 1] = entry end
  for _, entry in ipairs(missing) do absent[#absent + 1] = entry end
  local policy = barrier.policy
  if #dead > 0 and policy == 'fail' then
    local cause = dead[1].member .. ': ' .. dead[1].why
    end_attempt(name, barrier, generation, 'failed', cause, arrived, absent)
    emit('barrier_failed', {barrier = name, generation = generation, cause = cause, missing = absent})
    return {status = 'failed', generation = generation, cause = cause, missing = absent, members = arrived}
  end
  local needed = expected
  if policy == 'shrink' then needed = expected - #dead end
  -- guard: predicate. Nobody passes before every member that counts is in.
  if #arrived >= needed and #missing == 0 then
    end_attempt(name, barrier, generation, 'open', nil, arrived, dead)
    emit('barrier_open', {barrier = name, generation = generation, members = arrived,
      without = #dead > 0 and dead or nil})
    return {status = 'open', generation = generation, members = arrived, missing = dead}
  end
  if #dead > 0 and barrier.told ~= dead[1].member then
    redis.call('HSET', key, 'told', dead[1].member)
    emit('worker_failure', {worker = dead[1].member, larry = dead[1].member, barrier = name,
      cause = dead[1].why .. '; the barrier ' .. name .. ' waits for it'})
  end
  local next_ms = change and math.max(0, math.ceil((change - NOW) / 1000)) or nil
  local timer_ms = within and next_timer_ms() or nil
  if timer_ms and (not next_ms or timer_ms < next_ms) then next_ms = timer_ms end
  return {status = 'waiting', generation = generation, waited_ms = math.floor((NOW - since) / 1000),
    members = arrived, missing = absent, expected = expected, bell = last_bell, next_ms = next_ms}
end
"""

BARRIER_LEAVE = r"""
local function main()
  if ctx.member then load_run() end
  local resource = 'arrival/' .. args.name .. '/' .. args.member
  local state, rec = lease_look(resource)
  if state ~= 'held' or rec.controller ~= ctx.controller then return {status = 'not_arrived'} end
  lease_clear(resource, rec)
  redis.call('DEL', lease_key(resource))
  redis.call('HDEL', K('larry:arrived:' .. args.name), args.member)
  ring('barrier:' .. args.name)
  return {status = 'left'}
end
"""

BARRIER_LOOK = r"""
local function main()
  load_run()
  local barrier = H(K('larry:barrier:' .. args.name))
  if not barrier.policy then return {status = 'absent', generation = 0} end
  local arrived, missing, dead, expected = survey(args.name, barrier, RUN ~= nil and args.name == 'converge')
  return {status = 'seen', generation = tonumber(barrier.generation or '0'), arrived = arrived, missing = missing,
    dead = dead, expected = expected, policy = barrier.policy, outcomes = cjson.decode(barrier.outcomes or '[]')}
end
"""
