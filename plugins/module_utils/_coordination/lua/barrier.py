# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua of the barrier: (name, generation), members, arrivals as leases, and a policy for the dead."""

from __future__ import annotations

# An arrival is a lease `arrival/<barrier>/<member>`; the generation advances only when it opens (or breaks).
# Members come from the plan (the barrier `converge` of a run), as names, or as a count.
BARRIER = r"""
local OUTCOMES_KEPT = 16

local function outcome_of(barrier, generation)
  for _, entry in ipairs(cjson.decode(barrier.outcomes or '[]')) do
    if entry.generation == generation then return entry end
  end
  return nil
end

-- Ends a generation: everybody who arrived in it reads the outcome, the next one starts empty.
local function end_generation(name, barrier, generation, state, cause, members, missing)
  local key = K('larry:barrier:' .. name)
  local kept = cjson.decode(barrier.outcomes or '[]')
  table.insert(kept, 1, {generation = generation, state = state, cause = cause, members = members, missing = missing})
  while #kept > OUTCOMES_KEPT do table.remove(kept) end
  redis.call('HSET', key, 'outcomes', cjson.encode(kept), 'generation', generation)
  for _, member in ipairs(redis.call('HKEYS', K('larry:arrived:' .. name))) do
    local resource = 'arrival/' .. name .. '/' .. member
    local _, rec = lease_look(resource)
    lease_clear(resource, rec)
    redis.call('DEL', lease_key(resource))
  end
  redis.call('DEL', K('larry:arrived:' .. name))
  ring('barrier:' .. name)
end

-- Who is in, who is missing and why. In a run a member is a Larry: not yet there, dead and failed are told apart.
local function survey(name, barrier, within)
  local arrived, missing, dead = {}, {}, {}
  local records = H(K('larry:arrived:' .. name))
  for member in pairs(records) do
    local state = lease_look('arrival/' .. name .. '/' .. member)
    if state == 'held' then arrived[#arrived + 1] = member
    else dead[#dead + 1] = {member = member, why = 'arrived and no longer renews its arrival'} end
  end
  table.sort(arrived)
  local present = {}
  for _, member in ipairs(arrived) do present[member] = true end
  if not barrier.members then
    return arrived, missing, dead, tonumber(barrier.count)
  end
  local members = cjson.decode(barrier.members)
  for _, member in ipairs(members) do
    if not present[member] and not records[member] then
      local larry = within and H(larry_key(member)) or {}
      local state, slot = lease_look('slot/' .. member)
      local entry = {member = member, why = 'has not arrived yet'}
      if larry.status then
        -- A Larry whose phase failed but whose controller lives is on its way: it arrives like the others.
        if state == 'held' then entry.why = 'its phase is ' .. larry.status .. (larry.mode ~= 'running' and ' and ' .. larry.mode or '')
        elseif larry.controller then
          entry.why, entry.dead = 'its controller ' .. larry.controller .. ' is gone', true
          if larry.left_at then entry.why = 'its controller left' end
          if larry.status == 'failed' then entry.why = 'its phase failed and ' .. entry.why end
        elseif NOW > tonumber(RUN.started_at) + tonumber(barrier.join_within_us) then
          entry.why, entry.dead = 'it did not join within ' .. math.floor(tonumber(barrier.join_within_us) / 1000000) .. ' s', true
        else entry.why = 'it has not joined yet' end
      end
      if entry.dead then dead[#dead + 1] = entry else missing[#missing + 1] = entry end
    end
  end
  return arrived, missing, dead, #members
end
"""

BARRIER_MEET = r"""
local function main()
  local within = ctx.member and true or false
  if within then require_member(); tick() end
  local name, member = args.name, args.member
  local key = K('larry:barrier:' .. name)
  local barrier = H(key)
  local opened = tonumber(barrier.generation or '0')
  local generation = args.generation or (opened + 1)
  if not barrier.policy or (redis.call('EXISTS', K('larry:arrived:' .. name)) == 0 and generation == opened + 1) then
    -- The first to arrive fixes who is expected; those who follow must expect the same.
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
    barrier = H(key)
  end
  -- guard: generation. A generation that ended answers what it ended with, however often it is asked.
  if generation <= opened then
    local outcome = outcome_of(barrier, generation) or {state = 'failed', generation = generation,
      cause = 'it ended so long ago that its outcome is no longer kept'}
    outcome.status, outcome.over = outcome.state, true
    return outcome
  end
  if generation > opened + 1 then refuse('early_generation', {generation = generation, opened = opened}) end
  if args.members then
    if barrier.members ~= cjson.encode(args.members) then refuse('other_members', {members = barrier.members or barrier.count}) end
    local known = false
    for _, one in ipairs(args.members) do if one == member then known = true end end
    if not known then refuse('no_member', {member = member}) end
  elseif tonumber(barrier.count or '-1') ~= args.count then
    refuse('other_members', {members = barrier.members or barrier.count})
  end
  local resource = 'arrival/' .. name .. '/' .. member
  local state, rec = lease_look(resource)
  if state == 'held' and rec.token ~= args.token then
    if rec.controller ~= ctx.controller then
      refuse('member_taken', {member = member, controller = rec.controller, host = rec.host,
        left_ms = math.ceil((tonumber(rec.deadline) - NOW) / 1000)})
    end
    redis.call('HSET', lease_key(resource), 'token', args.token)
  elseif state == 'lapsed' and not args.first then
    return {status = 'failed', generation = generation, cause = 'the arrival of ' .. member .. ' lapsed before the barrier opened'}
  elseif state ~= 'held' then
    rec = {fence = rec.fence}
    lease_take(resource, rec, {token = args.token, owner = member, controller = ctx.controller, host = ctx.host,
      ttl_ms = args.ttl_ms, timer = within})
    redis.call('HSET', K('larry:arrived:' .. name), member, args.token)
    emit('barrier_arrived', {barrier = name, member = member, generation = generation})
    ring('barrier:' .. name)
  end
  local waited_ms = rec.since and math.floor((NOW - tonumber(rec.since)) / 1000) or 0
  if within then
    for _, larry in ipairs(redis.call('SMEMBERS', K('larry:larrys'))) do
      if redis.call('HGET', larry_key(larry), 'mode') == 'paused' then
        return {status = 'waiting', generation = generation, paused = larry, waited_ms = waited_ms, bell = bell('barrier:' .. name),
          missing = {{member = larry, why = 'it is paused'}}, next_ms = next_timer_ms()}
      end
    end
  end
  local arrived, missing, dead, expected = survey(name, barrier, within)
  local absent = {}
  for _, entry in ipairs(dead) do absent[#absent + 1] = entry end
  for _, entry in ipairs(missing) do absent[#absent + 1] = entry end
  local policy = barrier.policy
  if #dead > 0 and policy == 'fail' then
    local cause = dead[1].member .. ': ' .. dead[1].why
    end_generation(name, barrier, generation, 'failed', cause, arrived, absent)
    emit('barrier_failed', {barrier = name, generation = generation, cause = cause, missing = absent})
    return {status = 'failed', generation = generation, cause = cause, missing = absent, members = arrived}
  end
  local needed = expected
  if policy == 'shrink' then needed = expected - #dead end
  -- guard: predicate. Nobody passes before every member that counts is in.
  if #arrived >= needed and (#missing == 0 or not barrier.members) then
    end_generation(name, barrier, generation, 'open', nil, arrived, dead)
    emit('barrier_open', {barrier = name, generation = generation, members = arrived, without = #dead > 0 and dead or nil})
    return {status = 'open', generation = generation, members = arrived, missing = dead}
  end
  if #dead > 0 and barrier.told ~= dead[1].member .. generation then
    redis.call('HSET', key, 'told', dead[1].member .. generation)
    emit('worker_failure', {worker = dead[1].member, larry = dead[1].member, barrier = name,
      cause = dead[1].why .. '; the barrier ' .. name .. ' waits for it'})
  end
  local soonest = nil
  for _, one in ipairs(arrived) do
    if one ~= member then
      local left = tonumber(redis.call('HGET', lease_key('arrival/' .. name .. '/' .. one), 'deadline')) - NOW
      if not soonest or left < soonest then soonest = left end
    end
  end
  return {status = 'waiting', generation = generation, waited_ms = waited_ms, members = arrived, missing = absent, expected = expected,
    bell = bell('barrier:' .. name), next_ms = within and next_timer_ms() or (soonest and math.ceil(soonest / 1000)) or nil}
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
