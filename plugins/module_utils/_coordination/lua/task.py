# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua of the task operations: claim, settle, checkpoint, and the answer to "why is this task not running"."""

from __future__ import annotations

TASK_CLAIM = r"""
local function touches_paused(task)
  if task.touches == '' then return nil end
  for _, thing in ipairs(cjson.decode(task.touches)) do
    if redis.call('HEXISTS', K('larry:paused'), thing) == 1 then return thing end
  end
  return nil
end

local CLAIM_FIELDS = {'status', 'mode', 'total', 'settled', 'completed', 'failed', 'skipped', 'deadline', 'sweep'}
local function best_candidate(queues)
  local best, score, from = nil, nil, nil
  for _, queue in ipairs(queues) do
    local head = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
    if head[1] and (not score or tonumber(head[2]) < score) then
      best, score, from = head[1], tonumber(head[2]), queue
    end
  end
  return best, from
end

local function claim()
  require_member()
  local wkey = worker_key(args.worker)
  local worker = H(wkey)
  if not worker.larry then refuse('no_worker', {worker = args.worker}) end
  -- guard: repeat. The same claim sent again gets the same answer.
  local before = recall_in(worker.ops)
  if before then return before end
  local worked_off = tick()
  require_slot(args.worker)
  if worked_off > 0 then worker = H(wkey) end
  local larry = worker.larry
  local fields, view = larry_view(larry, CLAIM_FIELDS)
  view.status = 'none'

  if worker.task and worker.task ~= '' then
    local task = H(task_key(worker.task))
    local held, rec = task_observe(worker.task, task)
    if held and rec.controller == ctx.controller then
      view.status, view.task, view.fence, view.deadline = 'claimed', worker.task, rec.fence, rec.deadline
      view.hard, view.attempt, view.resumed = rec.hard, tonumber(task.attempt), true
      return view
    elseif held then
      view.status, view.why, view.task = 'waiting', 'held_by_previous_controller', worker.task
      view.next_ms = math.ceil((tonumber(rec.deadline) - NOW) / 1000)
      return view
    end
  end
  if view.done then view.status = 'done'; return view end
  -- guard: mode and phase. Paused, draining or overdue phases claim nothing new.
  if fields.status ~= 'in_progress' then view.why = 'phase_' .. fields.status; return view end
  if fields.mode ~= 'running' then view.why = fields.mode; return view end
  if not lease_held('slot/' .. larry) then view.why = 'no_leader'; return view end
  if fields.sweep and fields.sweep ~= '' then view.why = 'sweep'; return view end
  if tonumber(fields.deadline) <= NOW then TIMERS.phase(larry); view.why = 'sweep'; view.next_ms = 0; return view end

  local queues = {K('larry:ready:w:' .. args.worker)}
  for _, capability in ipairs(cjson.decode(worker.capabilities)) do
    queues[#queues + 1] = K('larry:ready:c:' .. larry .. ':' .. capability)
  end
  local emptied = false
  for _ = 1, 20 do
    local id, queue = best_candidate(queues)
    if not id then emptied = true; break end
    local task = pick(task_key(id), {'state', 'touches', 'conflict', 'deadline_us', 'planned_us'})
    local thing = touches_paused(task)
    local resource = 'task/' .. id
    local state, rec, foreign = lease_look(resource, 'task:lock:' .. id)
    if task.state ~= 'ready' then
      redis.call('ZREM', queue, id)
    elseif thing then
      redis.call('ZREM', queue, id)
      redis.call('SADD', K('larry:parked:' .. thing), id)
      redis.call('HSET', task_key(id), 'state', 'pending', 'parked', thing)
    elseif state == 'foreign' then
      -- guard: foreign. A lock that somebody else set is honoured until it expires.
      local left = redis.call('PTTL', K('task:lock:' .. id))
      redis.call('ZREM', queue, id)
      redis.call('HSET', task_key(id), 'state', 'pending')
      timer('retry', id, NOW + (left > 0 and math.min(left + 1, 3000) or 3000) * 1000)
      if task.conflict ~= foreign then
        redis.call('HSET', task_key(id), 'conflict', foreign)
        emit('task_conflict', {task_id = id, larry = larry, owner = foreign})
      end
      redis.call('HINCRBY', K('larry:counters'), 'refusals', 1)
    else
      redis.call('ZREM', queue, id)
      local attempt = redis.call('HINCRBY', task_key(id), 'attempt', 1)
      local hard = NOW + tonumber(task.deadline_us)
      local fence, deadline = lease_take(resource, rec, {token = ctx.op, owner = larry, controller = ctx.controller,
        host = args.worker, ttl_ms = args.ttl_ms, hard = hard, public = 'task:lock:' .. id, value = larry,
        timer = true})
      redis.call('HSET', task_key(id), 'state', 'in_progress', 'claimed_at', F(NOW), 'worker_now', args.worker,
        'controller', ctx.controller, 'fence', fence, 'conflict', '', 'machine', args.machine or '')
      redis.call('SET', K('task:status:' .. id), 'in_progress')
      redis.call('HSET', wkey, 'task', id, 'status', 'busy')
      redis.call('SET', K('worker:' .. args.worker .. ':status'), 'busy')
      redis.call('SADD', K('larry:running:' .. larry), id)
      redis.call('HINCRBY', K('larry:counters'), 'acquisitions', 1)
      if attempt > 1 then redis.call('HINCRBY', K('larry:counters'), 'takeovers', 1) end
      timer('overdue', id, NOW + tonumber(task.planned_us))
      emit('task_claimed', {task_id = id, larry = larry, worker = args.worker, node = worker.node,
        controller = ctx.controller, fence = fence, attempt = attempt, deadline = iso(hard)})
      view.status, view.task, view.fence, view.deadline, view.hard = 'claimed', id, fence, deadline, F(hard)
      view.attempt = attempt
      return remember(wkey, 1, view)
    end
  end
  if worker.status ~= 'idle' then
    redis.call('HSET', wkey, 'status', 'idle')
    redis.call('SET', K('worker:' .. args.worker .. ':status'), 'idle')
  end
  view.why = 'nothing_ready'
  if not emptied then view.next_ms = 0 end
  return view
end

local function main()
  local view = claim()
  if view.status == 'claimed' then return view end
  -- Only who waits needs to know for what, and until when.
  view.bell = bell('larry:' .. view.larry)
  if view.status == 'none' and not view.next_ms then view.next_ms = next_timer_ms() end
  return view
end
"""

# Publishes the figures of a result under the documented names; reserved names are refused before anything changes.
TASK_SETTLE = r"""
local RESERVED = {findings = true, status = true, progress = true, started_at = true, completed_at = true,
  workers = true, tasks = true}
local COUNTED = {tasks_completed = true, tasks_failed = true, tasks_skipped = true}
local OUTCOMES = {completed = true, failed = true, skipped = true}
local function whole(value)
  return type(value) == 'number' and value == math.floor(value) and math.abs(value) <= 2 ^ 53
end
-- A number as people write it: cjson gives doubles, and 12 is not 12.0.
local function plain_number(value) return whole(value) and F(value) or string.format('%.10g', value) end

local function main()
  require_member()
  local id = args.task
  local key = task_key(id)
  local task = H(key)
  if not task.larry then refuse('no_task', {task = id}) end
  local before = recall_in(task.ops)
  if before then return before end
  local public = args.public or {}
  if not OUTCOMES[args.outcome] then refuse('bad_outcome', {outcome = args.outcome}) end
  -- guard: figures. All of a result is checked before anything changes, so a bad one never leaves half of it behind.
  for name, value in pairs(public.phase or {}) do
    if RESERVED[name] or not string.match(name, '^[a-z0-9_:]+$') then refuse('reserved_name', {name = name}) end
    if type(value) ~= 'number' and type(value) ~= 'string' then refuse('bad_figure', {name = name}) end
  end
  for name, value in pairs(public.metrics or {}) do
    if COUNTED[name] or not string.match(name, '^[a-z0-9_]+$') then refuse('reserved_name', {name = name}) end
    if not whole(value) then refuse('bad_figure', {name = name}) end
  end
  for name, value in pairs(public.findings or {}) do
    if not string.match(name, '^[a-z0-9_]+$') then refuse('reserved_name', {name = name}) end
    if not whole(value) then refuse('bad_figure', {name = name}) end
  end
  local held, rec = task_observe(id, task)
  if not held then task = H(key) end
  -- guard: fence. Only the holder of the lease, with its fence, within its deadline, settles the task (law 1).
  if not held or rec.fence ~= args.fence or rec.controller ~= ctx.controller then
    local cause = 'the lease is no longer held'
    if held then cause = rec.host .. ' holds it now with fence ' .. rec.fence end
    if task.state == 'completed' or task.state == 'failed' or task.state == 'skipped' then
      cause = 'the task is ' .. task.state .. ' already'
    end
    redis.call('HINCRBY', K('larry:counters'), 'fenced_completions', 1)
    emit('completion_fenced',
      {task_id = id, larry = task.larry, worker = args.worker, fence = args.fence, cause = cause})
    tick()
    return remember(key, 4, {status = 'fenced', task = id, cause = cause, state = task.state,
      lease = lease_view('task:lock:' .. id, held and 'held' or 'free', rec)})
  end
  lease_clear('task/' .. id, rec, true)
  leave_worker(task, id)
  local wkey = worker_key(task.worker_now)
  redis.call('HSET', wkey, 'status', 'idle')
  redis.call('SET', K('worker:' .. task.worker_now .. ':status'), 'idle')
  local reply = {status = 'settled', task = id, state = args.outcome}
  local failures = args.outcome == 'failed' and redis.call('HINCRBY', key, 'failures', 1) or 0
  if args.outcome == 'failed' and args.retry and failures < tonumber(task.attempts) then
    local delay = tonumber(task.backoff_us) * 2 ^ (failures - 1)
    emit('task_failed', {task_id = id, larry = task.larry, worker = task.worker_now, attempt = tonumber(task.attempt),
      cause = args.cause, final = false})
    queue_back(id, task, args.cause, delay)
    reply.state = redis.call('HGET', key, 'state') == 'skipped' and 'skipped' or 'requeued'
    reply.next_ms = delay / 1000
    if reply.state == 'requeued' then redis.call('HINCRBY', K('larry:counters'), 'retries', 1) end
  else
    if args.result then
      redis.call('HSET', K('task:result:' .. id), 'outcome', args.outcome, 'worker', task.worker_now,
        'attempt', task.attempt, 'fence', args.fence, 'settled_at', iso(NOW), 'result', args.result)
    end
    for name, value in pairs(public.phase or {}) do
      redis.call('SET', K('phase:' .. task.larry .. ':' .. name),
        type(value) == 'number' and plain_number(value) or value)
      redis.call('SADD', K('larry:extra'), 'phase:' .. task.larry .. ':' .. name)
    end
    for name, value in pairs(public.metrics or {}) do metric(task.larry, name, value) end
    if public.findings and next(public.findings) then
      local findings, shown = K('larry:findings:' .. task.larry), K('phase:' .. task.larry .. ':findings')
      for name, value in pairs(public.findings) do redis.call('HINCRBY', findings, name, F(value)) end
      redis.call('DEL', shown)
      for name, value in pairs(H(findings)) do redis.call('HSET', shown, name, value) end
      redis.call('SADD', K('larry:extra'), 'larry:findings:' .. task.larry)
    end
    settle(id, task, args.outcome, args.cause)
    emit('task_' .. args.outcome, {task_id = id, larry = task.larry, worker = task.worker_now,
      attempt = tonumber(task.attempt), fence = args.fence, cause = args.cause,
      final = args.outcome == 'failed' and true or nil})
    if args.outcome == 'failed' then
      emit('worker_failure', {worker = task.worker_now, larry = task.larry, task_id = id, cause = args.cause})
    end
    cascade(CASCADE_STEP)
  end
  tell('progress_update', {larry = task.larry,
    progress = tonumber(redis.call('GET', K('phase:' .. task.larry .. ':progress')))})
  return remember(key, 4, reply)
end
"""

# Am I still the holder? Asked before every outside effect (law 1).
TASK_CHECKPOINT = r"""
local function main()
  require_member()
  local task = H(task_key(args.task))
  if not task.larry then refuse('no_task', {task = args.task}) end
  local held, rec = task_observe(args.task, task)
  if not held or rec.fence ~= args.fence or rec.controller ~= ctx.controller then
    return {status = 'lost', task = args.task,
      lease = lease_view('task:lock:' .. args.task, held and 'held' or 'free', rec)}
  end
  local larry = H(larry_key(task.larry))
  local paused = nil
  if task.touches ~= '' then
    for _, thing in ipairs(cjson.decode(task.touches)) do
      if redis.call('HEXISTS', K('larry:paused'), thing) == 1 then paused = thing end
    end
  end
  local status = 'held'
  if larry.mode == 'cancelled' then status = 'cancelled'
  elseif larry.mode == 'paused' or paused then status = 'paused' end
  if args.percent then args.percent = math.max(0, math.min(100, args.percent)) end
  if args.percent and status == 'held' then
    task_partial(args.task, task, math.floor(tonumber(task.weight) * args.percent / 100))
    local progress = set_public_progress(task.larry, H(larry_key(task.larry)))
    tell('progress_update', {larry = task.larry, progress = progress, task_id = args.task, percent = args.percent,
      text = args.text})
  end
  return {status = status, task = args.task, paused = paused, deadline = rec.deadline,
    bell = bell('larry:' .. task.larry), left_ms = math.ceil((tonumber(rec.deadline) - NOW) / 1000), hard = rec.hard}
end
"""

TASK_WHY = r"""
local function main()
  if not load_run() then refuse('no_run') end
  local id = args.task
  local task = H(task_key(id))
  if not task.larry then refuse('no_task', {task = id}) end
  local state, rec, foreign = lease_look('task/' .. id, 'task:lock:' .. id)
  local lease = lease_view('task:lock:' .. id, state, rec, foreign)
  if state == 'foreign' then lease.left_ms = redis.call('PTTL', K('task:lock:' .. id)) end
  local _, larry = larry_view(task.larry)
  local fields = H(larry_key(task.larry))
  local waits = {}
  for _, list in ipairs({'depends_on', 'after'}) do
    for _, parent in ipairs(cjson.decode(task[list])) do
      local parent_state = redis.call('HGET', task_key(parent), 'state')
      local over = list == 'after' and (parent_state == 'failed' or parent_state == 'skipped')
      if parent_state ~= 'completed' and not over then
        waits[#waits + 1] = {task = parent, kind = list, state = parent_state}
      end
    end
  end
  local paused = {}
  if task.touches ~= '' then
    for _, thing in ipairs(cjson.decode(task.touches)) do
      local reason = redis.call('HGET', K('larry:paused'), thing)
      if reason then paused[#paused + 1] = {name = thing, reason = reason} end
    end
  end
  local capable = {}
  for _, name in ipairs(redis.call('SMEMBERS', K('larry:workers:' .. task.larry))) do
    local worker = H(worker_key(name))
    for _, capability in ipairs(cjson.decode(worker.capabilities)) do
      if capability == task.capability then
        local held, slot = lease_look('slot/' .. name)
        capable[#capable + 1] = {worker = name, present = held == 'held', task = worker.task or '',
          controller = held == 'held' and slot.controller or nil}
      end
    end
  end
  local retry = redis.call('ZSCORE', K('larry:timers'), 'retry:' .. id)
  return {status = 'seen', task = id, state = task.state, cause = task.cause, larry = task.larry,
    capability = task.capability, worker = task.worker, worker_now = task.worker_now, shared = task.shared == '1',
    attempt = tonumber(task.attempt or '0'), attempts = tonumber(task.attempts), lease = lease, waits = waits,
    paused = paused, capable = capable, phase = larry, fence = task.fence, hard = rec.hard,
    phase_left_ms = fields.deadline and math.ceil((tonumber(fields.deadline) - NOW) / 1000) or nil,
    sweep = fields.sweep, retry_ms = retry and math.max(0, math.ceil((tonumber(retry) - NOW) / 1000)) or nil,
    pause_reason = fields.pause_reason, conflict = task.conflict}
end
"""
