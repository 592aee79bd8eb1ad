# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua of a phase: start, watch, finish; and the controls pause, resume, drain and cancel."""

from __future__ import annotations

PHASE_START = r"""
local JOIN_GRACE_US = 30 * 1000000  -- or a tenth of the phase, whichever is shorter
local function main()
  require_member()
  tick()
  require_slot(args.larry)
  local fields, view = larry_view(args.larry)
  view.status, view.changed = 'seen', false
  if fields.status ~= 'pending' then
    view.started_at = fields.started_at and iso(tonumber(fields.started_at))
    return view
  end
  local deadline = NOW + tonumber(fields.phase_us)
  redis.call('HSET', larry_key(args.larry), 'status', 'in_progress', 'started_at', F(NOW), 'deadline', F(deadline))
  redis.call('SET', K('phase:' .. args.larry .. ':status'), 'in_progress')
  redis.call('SET', K('phase:' .. args.larry .. ':started_at'), iso(NOW))
  timer('phase', args.larry, deadline)
  timer('overdue', args.larry, NOW + tonumber(fields.planned_us))
  for _, point in ipairs(cjson.decode(fields.checkpoints)) do
    timer('checkpoint', args.larry .. '/' .. point.at_s .. '/' .. point.progress, NOW + tonumber(point.at_us))
  end
  -- Who is bound to a worker that never comes is not left waiting for it.
  for _, worker in ipairs(redis.call('SMEMBERS', K('larry:workers:' .. args.larry))) do
    if lease_look('slot/' .. worker) ~= 'held' then
      timer('join', worker, NOW + math.min(JOIN_GRACE_US, tonumber(fields.phase_us) / 10))
    end
  end
  emit('phase_started', {larry = args.larry, deadline = iso(deadline)})
  ring('larry:' .. args.larry)
  phase_check(args.larry)
  view.phase, view.changed, view.started_at = 'in_progress', true, iso(NOW)
  return view
end
"""

# What a coordinator looks at in each turn; with `finish` it ends the phase once every task has settled.
PHASE_TURN = r"""
local function main()
  require_member()
  tick()
  if redis.call('EXISTS', larry_key(args.larry)) == 0 then refuse('no_larry', {larry = args.larry}) end
  if args.lead then require_slot(args.larry) end
  local fields, view = larry_view(args.larry)
  view.status, view.changed = 'seen', false
  view.bell = bell('larry:' .. args.larry)
  view.next_ms = next_timer_ms()
  view.running = redis.call('SMEMBERS', K('larry:running:' .. args.larry))
  view.left_ms = fields.deadline and math.ceil((tonumber(fields.deadline) - NOW) / 1000) or nil
  view.failure = fields.failure
  view.pause_reason = fields.pause_reason
  if args.finish and view.done and fields.status == 'in_progress' then
    local failed = tonumber(fields.failed or '0') > 0 or (fields.failure and fields.failure ~= '')
    local state = failed and 'failed' or 'completed'
    redis.call('HSET', larry_key(args.larry), 'status', state, 'completed_at', F(NOW))
    redis.call('SET', K('phase:' .. args.larry .. ':status'), state)
    redis.call('SET', K('phase:' .. args.larry .. ':completed_at'), iso(NOW))
    untimer('phase', args.larry)
    untimer('overdue', args.larry)
    local cause = fields.failure
    if failed and not cause then cause = (fields.failed or '0') .. ' of its tasks failed' end
    emit(failed and 'phase_failed' or 'phase_complete', {larry = args.larry, completed = view.completed,
      failed = view.failed, skipped = view.skipped, cause = cause})
    ring('barrier:converge')
    ring('larry:' .. args.larry)
    view.phase, view.changed = state, true
  end
  return view
end
"""

CONTROL = r"""
local function main()
  local before = nil
  if not load_run() then refuse('no_run') end
  before = recall(K('larry:run'), 'ops_control')
  if before then return before end
  local changed = {}
  local function shift(larry, fields, since)
    -- Deadlines move by the pause.
    local gap = NOW - since
    if fields.deadline then
      redis.call('HSET', larry_key(larry), 'deadline', F(tonumber(fields.deadline) + gap))
      if fields.status == 'in_progress' then timer('phase', larry, tonumber(fields.deadline) + gap) end
    end
    return gap
  end
  local function shift_task(id, since)
    local key = lease_key('task/' .. id)
    local hard, from = unpack(redis.call('HMGET', key, 'hard', 'since'))
    if hard and hard ~= '' then
      redis.call('HSET', key, 'hard', F(tonumber(hard) + NOW - math.max(since, tonumber(from))))
    end
  end
  -- From now on the deadline of the attempt stands still; the keeper's next turn may come after it.
  local function hold_task(id)
    local state, rec = lease_look('task/' .. id, 'task:lock:' .. id)
    if state == 'held' then
      rec.hard = ''
      lease_extend('task/' .. id, rec, tonumber(rec.ttl))
    end
  end
  -- Calls `act` for every running task that touches a thing.
  local function touching(thing, act)
    for _, larry in ipairs(redis.call('SMEMBERS', K('larry:larrys'))) do
      for _, id in ipairs(redis.call('SMEMBERS', K('larry:running:' .. larry))) do
        local touches = redis.call('HGET', task_key(id), 'touches')
        if touches ~= '' then
          for _, name in ipairs(cjson.decode(touches)) do
            if name == thing then act(id) end
          end
        end
      end
    end
  end
  if args.scope == 'larry' then
    for _, larry in ipairs(args.names) do
      local fields = H(larry_key(larry))
      if not fields.status then refuse('no_larry', {larry = larry}) end
    end
    for _, larry in ipairs(args.names) do
      local fields = H(larry_key(larry))
      local wanted = ({pause = 'paused', resume = 'running', drain = 'draining', cancel = 'cancelled'})[args.verb]
      if fields.mode ~= wanted and fields.mode ~= 'cancelled' then
        if args.probe then
          changed[#changed + 1] = larry
        else
          redis.call('HSET', larry_key(larry), 'mode', wanted, 'pause_reason', args.reason or '')
          if wanted == 'paused' then
            redis.call('HSET', larry_key(larry), 'paused_at', F(NOW))
            for _, id in ipairs(redis.call('SMEMBERS', K('larry:running:' .. larry))) do hold_task(id) end
          elseif fields.mode == 'paused' then
            local since = math.max(tonumber(fields.paused_at), tonumber(fields.started_at or '0'))
            shift(larry, fields, since)
            for _, id in ipairs(redis.call('SMEMBERS', K('larry:running:' .. larry))) do shift_task(id, since) end
          end
          if wanted == 'cancelled' then
            redis.call('HSET', larry_key(larry), 'failure', 'it was cancelled')
            start_sweep(larry, 'cancelled')
          end
          emit(({pause = 'paused', resume = 'resumed', drain = 'draining', cancel = 'cancelled'})[args.verb],
            {scope = 'larry', name = larry, reason = args.reason})
          ring('larry:' .. larry)
          ring('barrier:converge')
          changed[#changed + 1] = larry
        end
      end
    end
  else
    for _, thing in ipairs(args.names) do
      local paused = redis.call('HGET', K('larry:paused'), thing)
      if args.verb == 'pause' and not paused then
        changed[#changed + 1] = thing
        if not args.probe then
          redis.call('HSET', K('larry:paused'), thing, args.reason or 'no reason given')
          redis.call('HSET', K('larry:paused_at'), thing, F(NOW))
          redis.call('SADD', K('larry:extra'), 'larry:paused_at')
          touching(thing, hold_task)
          emit('paused', {scope = 'thing', name = thing, reason = args.reason})
        end
      elseif args.verb == 'resume' and paused then
        changed[#changed + 1] = thing
        if not args.probe then
          local since = tonumber(redis.call('HGET', K('larry:paused_at'), thing))
          redis.call('HDEL', K('larry:paused'), thing)
          redis.call('HDEL', K('larry:paused_at'), thing)
          for _, id in ipairs(redis.call('SMEMBERS', K('larry:parked:' .. thing))) do
            local task = H(task_key(id))
            if task.state == 'pending' then make_ready(id, task) end
          end
          redis.call('DEL', K('larry:parked:' .. thing))
          touching(thing, function(id) shift_task(id, since) end)
          emit('resumed', {scope = 'thing', name = thing})
        end
      end
    end
    if #changed > 0 and not args.probe then
      for _, larry in ipairs(redis.call('SMEMBERS', K('larry:larrys'))) do ring('larry:' .. larry) end
    end
  end
  local reply = {status = 'done', changed = changed}
  if not args.probe then remember(K('larry:run'), 4, reply, 'ops_control') end
  return reply
end
"""
