# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua of the history: a server that was away, a history that was lost and is recovered, and journals."""

from __future__ import annotations

# While the server is away nobody can renew a lease, and nobody can take one either. So the time of its absence counts
# for nobody: who held a lease when it went away holds it still, with a full TTL from now on. That the server was away
# is told by two things together: no member was here for a while, and the caller missed the server, or found it without
# the script (it was started again, or another one took over).
HISTORY = r"""
local MISSED_US, SILENT_US = 1000000, 6000000  -- a keeper that has nothing to renew comes every 5 s
local NOTE_US = 500000

local function bridge(last, gap)
  local kept = 0
  for _, controller in ipairs(redis.call('HKEYS', K('larry:controllers'))) do
    for _, resource in ipairs(redis.call('SMEMBERS', K('larry:held:' .. controller))) do
      local rec = H(lease_key(resource))
      if rec.token and rec.controller == controller and tonumber(rec.deadline) > last then
        if rec.hard ~= '' then
          rec.hard = F(tonumber(rec.hard) + gap)
          redis.call('HSET', lease_key(resource), 'hard', rec.hard)
        end
        if string.sub(resource, 1, 8) == 'arrival/' then
          redis.call('HSET', lease_key(resource), 'since', F(tonumber(rec.since) + gap))
        end
        -- The key to read expired meanwhile; one that somebody else has set since is honoured.
        if rec.public ~= '' and not redis.call('GET', K(rec.public)) then
          redis.call('SET', K(rec.public), rec.value, 'PX', rec.ttl)
        end
        if rec.public == '' or redis.call('GET', K(rec.public)) == rec.value then
          lease_extend(resource, rec, tonumber(rec.ttl))
          kept = kept + 1
        end
      end
    end
  end
  for _, larry in ipairs(redis.call('SMEMBERS', K('larry:larrys'))) do
    local fields = H(larry_key(larry))
    if fields.status == 'in_progress' and fields.mode ~= 'paused' and fields.deadline then
      local deadline = tonumber(fields.deadline) + gap
      redis.call('HSET', larry_key(larry), 'deadline', F(deadline))
      timer('phase', larry, deadline)
    end
  end
  emit('server_away', {since = iso(last), seconds = math.floor(gap / 1000) / 1000, kept = kept})
end

-- Operation ids of events, with their answers. They are kept with the run, since a journal can be delivered late.
local function published(op)
  local kept = redis.call('HGET', K('larry:published'), op)
  return kept and cjson.decode(kept) or nil
end

local function note_published(op, reply)
  redis.call('HSET', K('larry:published'), op, cjson.encode(reply))
  redis.call('SADD', K('larry:extra'), 'larry:published')
end

bridge_absence = function()
  if RUN.state ~= 'running' then return end
  local last = tonumber(RUN.alive_at or '0')
  local gap = NOW - last
  if last > 0 and ((ctx.missed and gap > MISSED_US) or (ctx.unknown and gap > SILENT_US)) then bridge(last, gap) end
  if math.abs(gap) > NOTE_US then redis.call('HSET', K('larry:run'), 'alive_at', F(NOW)) end
end
"""

# Opens a new epoch after a loss: what is settled stays as the server has it, every lease is void, all join again.
RUN_RECOVER = r"""
local function void(resource, rec)
  local kind, name = string.match(resource, '^(%w+)/(.+)$')
  if kind == 'task' then
    local task = H(task_key(name))
    lease_clear(resource, rec)
    if task.state == 'in_progress' then attempt_lost(name, task, 'the server lost a part of its history', 0) end
  elseif kind == 'slot' then
    redis.call('HSET', lease_key(resource), 'deadline', F(NOW))
    slot_observe(name)
  elseif kind == 'arrival' then
    local barrier = rec.reason
    lease_clear(resource, rec)
    redis.call('HDEL', K('larry:arrived:' .. barrier), string.sub(name, #barrier + 2))
    ring('barrier:' .. barrier)
  elseif kind == 'lock' then
    if rec.member ~= '1' then return false end  -- not of the run
    local lock, slot = string.match(name, '^(.+)/(%d+)$')
    emit('lease_revoked', {resource = 'lock:' .. lock, holder = rec.owner, fence = rec.fence,
      cause = 'the server lost a part of its history'})
    lock_end(lock, tonumber(redis.call('HGET', K('larry:lock:' .. lock), 'slots') or '1'), tonumber(slot), rec)
  else
    lease_clear(resource, rec)
  end
  return true
end

local function main()
  if not load_run() then return {status = 'absent'} end
  local before = recall(K('larry:run'), 'ops_recover')
  if before then return before end
  local view = {run = RUN.id, plan = RUN.plan, state = RUN.state, epoch = RUN.epoch, seq = RUN.seq}
  if RUN.state == 'creating' or RUN.state == 'deleting' then
    local state = lease_look('creation')
    view.status = state == 'held' and 'busy' or 'abandoned'
    return view
  end
  if RUN.digest ~= args.digest then view.status = 'other_digest'; return view end
  local seen, why = args.known, RUN.lost
  if not why and seen then
    if RUN.id ~= seen.run then
      if RUN.previous ~= seen.run then why = 'other_run' end
    else
      why = missing_history(seen)
    end
  end
  if not why and not args.force then view.status = 'whole'; return view end
  -- What followed this finished run is gone: the caller replaces it as it would otherwise, under the lost run's name.
  if RUN.state == 'finished' then view.status = 'finished'; return view end
  -- guard: clock. Fences are at least the time, so it must have come to where the lost history ended (law 2).
  if seen and NOW <= tonumber(seen.at) then
    view.status = 'clock_behind'
    view.left_ms = math.ceil((tonumber(seen.at) - NOW) / 1000)
    return view
  end
  if args.probe then view.status = 'would_recover'; return view end
  local old = tonumber(RUN.epoch) or 0
  local epoch = math.max(old, seen and tonumber(seen.epoch) or 0) + 1
  redis.call('HSET', K('larry:run'), 'epoch', F(epoch), 'alive_at', F(NOW))
  redis.call('HDEL', K('larry:run'), 'lost')
  RUN.epoch = F(epoch)
  local sequence, voided = RUN.seq, 0
  for _, controller in ipairs(redis.call('HKEYS', K('larry:controllers'))) do
    for _, resource in ipairs(redis.call('SMEMBERS', K('larry:held:' .. controller))) do
      local rec = H(lease_key(resource))
      if rec.token and void(resource, rec) then voided = voided + 1 end
    end
  end
  redis.call('DEL', K('larry:controllers'))
  emit('run_recovered', {epoch = epoch, old_epoch = old, sequence = tonumber(sequence),
    seen = seen and tonumber(seen.seq) or nil, voided = voided})
  ring('run')
  for _, larry in ipairs(redis.call('SMEMBERS', K('larry:larrys'))) do ring('larry:' .. larry) end
  view.status, view.epoch, view.old_epoch, view.sequence, view.voided = 'recovered', F(epoch), F(old), sequence, voided
  return remember(K('larry:run'), 4, view, 'ops_recover')
end
"""

# Records of journals. Each has the operation id of its call; the ids that were taken in are kept with the run.
JOURNAL_DELIVER = r"""
local function take(rec)
  if rec.kind == 'event' then
    local event, usual = rec.event, ALERTS[rec.event]
    ALERTS[event] = rec.alert or usual
    emit(event, {from = rec.from, journaled_run = rec.run ~= RUN.id and rec.run or nil}, rec.data)
    ALERTS[event] = usual
    return
  end
  -- A figure of progress means something only for whoever holds the task still.
  local task = H(task_key(rec.task))
  local state, lease = lease_look('task/' .. rec.task, 'task:lock:' .. rec.task)
  if state ~= 'held' or lease.fence ~= rec.fence or lease.controller ~= rec.controller then return end
  local percent = math.max(0, math.min(100, rec.percent))
  task_partial(rec.task, task, math.floor(tonumber(task.weight) * percent / 100))
  tell('progress_update', {larry = task.larry, progress = set_public_progress(task.larry, H(larry_key(task.larry))),
    task_id = rec.task, percent = percent, text = rec.text})
end

local function main()
  require_member()
  -- The log of a finished run is closed; the next run takes them.
  if RUN.state ~= 'running' then refuse('not_running', {run = RUN.id, state = RUN.state}) end
  redis.call('SADD', K('larry:extra'), 'larry:bell:events')
  local taken = 0
  for _, rec in ipairs(args.records) do
    if not published(rec.op) then
      take(rec)
      note_published(rec.op, {status = 'published'})
      taken = taken + 1
    end
  end
  ring('events')
  return {status = 'taken', taken = taken}
end
"""
