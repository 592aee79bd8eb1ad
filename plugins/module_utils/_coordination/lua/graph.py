# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua of the task graph: readiness by counters, settling, lapses, phases, and the timers that drive them.

Nothing here scans: a task becomes ready when its counters of unsettled dependencies reach zero, and everything that
must happen at a time is a member of one sorted set, ``larry:timers``, worked off in bounded steps by whichever script
comes along (the keepers tick it while nobody else does).
"""

from __future__ import annotations

GRAPH = r"""
local CASCADE_STEP, TICK_STEP = 200, 50
local TIMERS = {}
local function timer(kind, argument, at) redis.call('ZADD', K('larry:timers'), F(at), kind .. ':' .. argument) end
local function untimer(kind, argument) redis.call('ZREM', K('larry:timers'), kind .. ':' .. argument) end

local function task_key(id) return K('larry:task:' .. id) end
local function larry_key(id) return K('larry:larry:' .. id) end
local function worker_key(id) return K('larry:worker:' .. id) end

local PROGRESS_FIELDS = {'weight_total', 'weight_done', 'partial'}
local function set_public_progress(larry, fields)
  local progress = 100
  local total = tonumber(fields.weight_total or '0')
  if total > 0 then
    progress = math.floor((tonumber(fields.weight_done or '0') + tonumber(fields.partial or '0')) * 100 / total + 1e-9)
  end
  redis.call('SET', K('phase:' .. larry .. ':progress'), F(math.min(100, math.max(0, progress))))
  return progress
end

local function metric(larry, name, amount)
  -- The internal hash is the truth, the public key shows it: whatever somebody writes there means nothing.
  local value = redis.call('HINCRBY', K('larry:metrics:' .. larry), name, amount)
  redis.call('SET', K('metrics:' .. larry .. ':' .. name), F(value))
end

local function queue_of(task)
  if task.worker ~= '' and task.shared ~= '1' then return K('larry:ready:w:' .. task.worker) end
  return K('larry:ready:c:' .. task.larry .. ':' .. task.capability)
end

local function make_ready(id, task)
  if task.worker ~= '' and task.shared ~= '1' and redis.call('HGET', worker_key(task.worker), 'absent') == '1' then
    redis.call('HSET', task_key(id), 'shared', '1')
    task.shared = '1'
  end
  redis.call('HSET', task_key(id), 'state', 'ready', 'ready_at', F(NOW))
  redis.call('ZADD', queue_of(task), task.index, id)
  ring('larry:' .. task.larry)
end

local function task_partial(id, task, value)
  local before = tonumber(task.partial or '0')
  if before ~= value then
    redis.call('HSET', task_key(id), 'partial', F(value))
    redis.call('HINCRBY', larry_key(task.larry), 'partial', F(value - before))
    task.partial = F(value)
  end
end

local phase_check  -- defined below: settles a phase whose last task has settled

-- The one place where a task reaches its last state.
local function settle(id, task, state, cause, fence)
  local larry = larry_key(task.larry)
  task_partial(id, task, 0)
  redis.call('HSET', task_key(id), 'state', state, 'cause', cause or '', 'settled_at', F(NOW))
  redis.call('SET', K('task:status:' .. id), state)
  redis.call('HINCRBY', larry, 'settled', 1)
  redis.call('HINCRBY', larry, state, 1)
  redis.call('HINCRBY', larry, 'weight_done', task.weight)
  -- What is in progress is in no queue: its claim took it out.
  if task.state ~= 'in_progress' then redis.call('ZREM', queue_of(task), id) end
  redis.call('ZREM', K('larry:timers'), 'retry:' .. id, 'overdue:' .. id)
  metric(task.larry, 'tasks_' .. state, 1)
  set_public_progress(task.larry, pick(larry, PROGRESS_FIELDS))
  if redis.call('EXISTS', K('larry:dependents:' .. id)) == 1 then redis.call('RPUSH', K('larry:cascade'), id) end
  phase_check(task.larry)
end

-- One dependent of a settled task: its counter goes down, or it is blocked for good.
local function release_dependent(parent, parent_state, entry)
  local kind, id = string.sub(entry, 1, 1), string.sub(entry, 3)
  local task = H(task_key(id))
  if task.state ~= 'pending' then return end
  if kind == 'h' and parent_state ~= 'completed' then
    local cause = 'blocked by ' .. parent
    settle(id, task, 'skipped', cause)
    emit('task_skipped', {task_id = id, larry = task.larry, cause = cause})
    return
  end
  if redis.call('HINCRBY', task_key(id), 'waiting', -1) == 0 then
    make_ready(id, task)
    emit('task_ready', {task_id = id, larry = task.larry})
  end
end

local function cascade(steps)
  local list = K('larry:cascade')
  while steps > 0 do
    local parent = redis.call('LINDEX', list, 0)
    if not parent then return end
    local entry = redis.call('LPOP', K('larry:dependents:' .. parent))
    if entry then
      release_dependent(parent, redis.call('HGET', task_key(parent), 'state'), entry)
      steps = steps - 1
    else
      redis.call('LPOP', list)
    end
  end
  if redis.call('LLEN', list) > 0 then timer('cascade', '', NOW) end
end
TIMERS.cascade = function() cascade(CASCADE_STEP) end

local function queue_back(id, task, cause, delay_us)
  local swept = redis.call('HGET', larry_key(task.larry), 'sweep')
  if swept and swept ~= '' then
    settle(id, task, 'skipped', swept)
    emit('task_skipped', {task_id = id, larry = task.larry, cause = swept})
    cascade(CASCADE_STEP)
    return
  end
  redis.call('HSET', task_key(id), 'state', 'pending', 'shared', '1', 'worker_now', '')
  task.shared = '1'
  redis.call('SET', K('task:status:' .. id), 'pending')
  task_partial(id, task, 0)
  untimer('overdue', id)
  emit('task_requeued', {task_id = id, larry = task.larry, cause = cause, attempt = tonumber(task.attempt)})
  if delay_us > 0 then timer('retry', id, NOW + delay_us) else make_ready(id, task) end
end
TIMERS.retry = function(id)
  local task = H(task_key(id))
  if task.state == 'pending' and tonumber(task.waiting) == 0 then make_ready(id, task) end
end

local function leave_worker(task, id)
  local worker = task.worker_now
  if worker and worker ~= '' and redis.call('HGET', worker_key(worker), 'task') == id then
    redis.call('HSET', worker_key(worker), 'task', '', 'free_since', F(NOW))
  end
  redis.call('SREM', K('larry:running:' .. task.larry), id)
end

-- An attempt ended without a result. A lapse is not the task's fault, so it does not use up its attempts; but a task
-- that takes its controllers down each time must not go on for ever.
local MOST_LAPSES = 10
local function attempt_lost(id, task, cause, delay_us, at_fault)
  leave_worker(task, id)
  local field, most = 'lapses', MOST_LAPSES
  if at_fault then field, most = 'failures', tonumber(task.attempts) end
  if redis.call('HINCRBY', task_key(id), field, 1) >= most then
    settle(id, task, 'failed', cause)
    emit('task_failed', {task_id = id, larry = task.larry, worker = task.worker_now, attempt = tonumber(task.attempt),
      cause = cause, final = true})
    emit('worker_failure', {worker = task.worker_now, larry = task.larry, task_id = id, cause = cause})
    cascade(CASCADE_STEP)
  else
    queue_back(id, task, cause, delay_us)
  end
end

-- Puts away a task's lease that lapsed or that an operator revoked. True if the task is held still: then nothing was
-- changed.
local function task_observe(id, task)
  local resource = 'task/' .. id
  local state, rec = lease_look(resource, 'task:lock:' .. id)
  if state == 'held' then return true, rec end
  if state == 'revoked' or state == 'lapsed' then
    local cause
    if state == 'revoked' then
      cause = 'its lock was removed by an operator'
      emit('lease_revoked', {resource = 'task:lock:' .. id, holder = rec.host, fence = rec.fence})
    else
      cause = rec.hard ~= '' and NOW >= tonumber(rec.hard) and 'the deadline of the attempt passed'
        or 'the lease of ' .. rec.host .. ' lapsed'
      emit('lease_lapsed', {resource = 'task:lock:' .. id, holder = rec.host, fence = rec.fence})
    end
    lease_clear(resource, rec)
    if task.state == 'in_progress' then
      attempt_lost(id, task, cause, 0, rec.hard ~= '' and NOW >= tonumber(rec.hard))
    end
  elseif task.state == 'in_progress' then
    -- Running without a lease cannot be; whatever led to it, the task is not left there.
    attempt_lost(id, task, 'its lease was gone', 0)
  end
  return false, rec
end

-- A worker's own queue is opened to every capable worker of its Larry.
local function share_queue(worker)
  local queue = K('larry:ready:w:' .. worker)
  local moved = redis.call('ZRANGE', queue, 0, TICK_STEP - 1)
  for _, id in ipairs(moved) do
    local task = H(task_key(id))
    redis.call('ZREM', queue, id)
    redis.call('HSET', task_key(id), 'shared', '1')
    task.shared = '1'
    redis.call('ZADD', queue_of(task), task.index, id)
    ring('larry:' .. task.larry)
  end
  if #moved == TICK_STEP then timer('share', worker, NOW) end
end
TIMERS.share = share_queue
-- Nobody holds this worker's slot: what is bound to it is open to others (asked again while it stays away).
TIMERS.join = function(worker)
  local state = lease_look('slot/' .. worker)
  if state ~= 'held' then
    redis.call('HSET', worker_key(worker), 'absent', '1')
    share_queue(worker)
  end
end

local function slot_observe(slot)
  local resource = 'slot/' .. slot
  local state, rec = lease_look(resource)
  if state ~= 'lapsed' then return state == 'held', rec end
  emit('lease_lapsed', {resource = 'slot:' .. slot, holder = rec.controller, fence = rec.fence})
  redis.call('HSET', lease_key(resource), 'lapsed_at', rec.deadline)
  lease_clear(resource, rec)
  ring('slot:' .. slot)
  if redis.call('EXISTS', worker_key(slot)) == 1 then
    local worker = H(worker_key(slot))
    redis.call('HSET', worker_key(slot), 'status', 'lost', 'absent', '1')
    redis.call('SET', K('worker:' .. slot .. ':status'), 'lost')
    emit('worker_failure', {worker = slot, larry = worker.larry, cause = 'its controller no longer renews its lease'})
    share_queue(slot)
  else
    redis.call('HSET', larry_key(slot), 'lost_at', rec.deadline)
    local status = redis.call('HGET', larry_key(slot), 'status')
    if status ~= 'completed' and status ~= 'failed' then
      emit('worker_failure', {worker = slot, larry = slot,
        cause = 'the controller that led ' .. slot .. ' no longer renews its lease'})
    end
    ring('barrier:converge')
  end
  return false, rec
end

TIMERS.lease = function(resource)
  local kind, name = string.match(resource, '^(%w+)/(.+)$')
  if kind == 'task' then
    local task = H(task_key(name))
    if task.state then task_observe(name, task) end
  elseif kind == 'slot' then
    slot_observe(name)
  elseif kind == 'arrival' then
    ring('barrier:' .. (redis.call('HGET', lease_key(resource), 'reason') or ''))
  end
end

local function paused_now(larry) return redis.call('HGET', larry_key(larry), 'mode') == 'paused' end
TIMERS.overdue = function(what)
  local task = H(task_key(what))
  if task.state == 'in_progress' and not paused_now(task.larry) then
    emit('overdue', {task_id = what, larry = task.larry, worker = task.worker_now})
  elseif not task.state then
    local larry = H(larry_key(what))
    if larry.status == 'in_progress' and larry.mode ~= 'paused' then emit('overdue', {larry = what}) end
  end
end

TIMERS.checkpoint = function(argument)
  local larry, at, expected = string.match(argument, '^(.+)/([%d.]+)/(%d+)$')
  local fields = H(larry_key(larry))
  if fields.status ~= 'in_progress' or fields.mode == 'paused' then return end
  local progress = set_public_progress(larry, fields)
  if progress < tonumber(expected) then
    emit('behind_plan', {larry = larry, at_s = tonumber(at), expected = tonumber(expected), progress = progress})
  end
end

-- Past its deadline (or cancelled) a phase claims nothing new; what is unsettled and not running is skipped in steps.
local function sweep(larry)
  local fields = H(larry_key(larry))
  local cause = fields.sweep
  if not cause or cause == '' then return end
  local list = K('larry:unsettled:' .. larry)
  local steps = CASCADE_STEP
  while steps > 0 do
    local id = redis.call('LINDEX', list, 0)
    if not id then return end
    redis.call('LPOP', list)
    local task = H(task_key(id))
    if task.state == 'pending' or task.state == 'ready' then
      settle(id, task, 'skipped', cause)
      emit('task_skipped', {task_id = id, larry = larry, cause = cause})
    end
    steps = steps - 1
  end
  timer('sweep', larry, NOW)
end
TIMERS.sweep = function(larry)
  sweep(larry)
  cascade(CASCADE_STEP)
end
local function start_sweep(larry, cause)
  redis.call('HSET', larry_key(larry), 'sweep', cause)
  timer('sweep', larry, NOW)
  ring('larry:' .. larry)
end
TIMERS.phase = function(larry)
  local fields = H(larry_key(larry))
  if fields.status ~= 'in_progress' or fields.mode == 'paused' then return end
  -- While nobody leads the Larry its time stands still; whoever takes the slot sets this timer again.
  if lease_look('slot/' .. larry) ~= 'held' then return end
  redis.call('HSET', larry_key(larry), 'failure', 'the deadline of the phase passed')
  start_sweep(larry, 'deadline')
end

-- Opening a run makes its roots ready, in bounded steps.
TIMERS.roots = function()
  for _ = 1, CASCADE_STEP do
    local id = redis.call('LPOP', K('larry:roots'))
    if not id then return end
    local task = H(task_key(id))
    if task.state == 'pending' then
      make_ready(id, task)
      emit('task_ready', {task_id = id, larry = task.larry})
    end
  end
  timer('roots', '', NOW)
end

phase_check = function(larry)
  local fields = pick(larry_key(larry), {'status', 'settled', 'total'})
  if fields.status ~= 'in_progress' and fields.status ~= 'pending' then return end
  if tonumber(fields.settled or '0') >= tonumber(fields.total) then
    redis.call('HSET', larry_key(larry), 'all_settled_at', F(NOW))
    ring('larry:' .. larry)
  end
end

-- Answers how many timers were worked off.
local function tick()
  for done = 0, TICK_STEP - 1 do
    local due = redis.call('ZRANGEBYSCORE', K('larry:timers'), '-inf', F(NOW), 'LIMIT', 0, 1)[1]
    if not due then return done end
    redis.call('ZREM', K('larry:timers'), due)
    local kind, argument = string.match(due, '^(%w+):(.*)$')
    TIMERS[kind](argument)
  end
  return TICK_STEP
end

local function next_timer_ms()
  local due = redis.call('ZRANGE', K('larry:timers'), 0, 0, 'WITHSCORES')
  if not due[1] then return nil end
  return math.max(0, math.ceil((tonumber(due[2]) - NOW) / 1000))
end

-- guard: slot. Only the controller that holds a slot acts for it.
local function require_slot(slot)
  local held, rec = slot_observe(slot)
  if not held then
    -- It may take the slot again at once if it held it last and its lease lapsed; not if it left.
    local left = redis.call('HEXISTS', larry_key(slot), 'left_at') == 1
    refuse('slot_lost', {slot = slot, lapsed = rec.controller == ctx.controller and rec.lapsed_at and not left or nil})
  end
  if rec.controller ~= ctx.controller then
    refuse('slot_of_other', {slot = slot, controller = rec.controller, owner = rec.owner,
      left_ms = math.ceil((tonumber(rec.deadline) - NOW) / 1000)})
  end
end

-- `names`: the fields that the caller wants, all by default; those of the view are among them.
local function larry_view(larry, names)
  local fields = names and pick(larry_key(larry), names) or H(larry_key(larry))
  return fields, {larry = larry, phase = fields.status, mode = fields.mode, total = tonumber(fields.total),
    settled = tonumber(fields.settled or '0'), completed = tonumber(fields.completed or '0'),
    failed = tonumber(fields.failed or '0'), skipped = tonumber(fields.skipped or '0'),
    progress = tonumber(redis.call('GET', K('phase:' .. larry .. ':progress')) or '0'),
    done = tonumber(fields.settled or '0') >= tonumber(fields.total)}
end
"""
