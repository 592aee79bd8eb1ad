# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua of the run: create, load, join, finish, delete by name; of the slots; and of the keeper's renewals."""

from __future__ import annotations

# Joins the run that is there, or says what stands in the way. Changes nothing unless the answer is "joined".
RUN_JOIN = r"""
local function leaders()
  local out = {}
  for _, larry in ipairs(redis.call('SMEMBERS', K('larry:larrys'))) do
    local state, rec = lease_look('slot/' .. larry)
    if state == 'held' then
      out[#out + 1] = {larry = larry, controller = rec.controller, host = rec.host,
        left_ms = math.ceil((tonumber(rec.deadline) - NOW) / 1000)}
    end
  end
  return out
end

local function main()
  load_run()
  require_history(true)
  if not RUN then return {status = 'absent'} end
  local view = {run = RUN.id, plan = RUN.plan, digest = RUN.digest, state = RUN.state, epoch = RUN.epoch}
  if RUN.state == 'creating' or RUN.state == 'deleting' then
    local state, rec = lease_look('creation')
    view.status = state == 'held' and 'busy' or 'abandoned'
    if state == 'held' then
      view.controller = rec.controller
      view.left_ms = math.ceil((tonumber(rec.deadline) - NOW) / 1000)
    end
    return view
  end
  if args.run and args.run ~= '' and args.run ~= RUN.id then view.status = 'other_run'; return view end
  if RUN.state == 'finished' then view.status = 'finished'; return view end
  view.leaders = leaders()
  -- guard: digest. Another plan does not join a run that is not finished.
  if RUN.digest ~= args.digest then view.status = 'other_digest'; return view end
  bridge_absence()
  tick()
  if redis.call('HEXISTS', K('larry:controllers'), ctx.controller) == 0 then
    redis.call('HSET', K('larry:controllers'), ctx.controller, cjson.encode({id = ctx.controller, host = args.host,
      pid = args.pid, joined_at = iso(NOW)}))
    emit('run_joined', {controller = ctx.controller, host = args.host, pid = args.pid})
    view.changed = true
  end
  MEMBER = true
  view.status = 'joined'
  return view
end
"""

# One creator at a time: whoever holds the lease `creation` loads the plan in chunks and then opens the run.
RUN_BEGIN = r"""
local function main()
  load_run()
  local state, rec = lease_look('creation')
  if state == 'held' and rec.token ~= args.token then
    refuse('busy', {controller = rec.controller, left_ms = math.ceil((tonumber(rec.deadline) - NOW) / 1000)})
  end
  if RUN and (RUN.state ~= 'creating' or rec.token ~= args.token) then
    refuse('exists', {run = RUN.id, state = RUN.state})
  end
  if redis.call('EXISTS', K('larry:log')) == 1 then refuse('leftovers') end
  RUN = nil
  lease_take('creation', rec,
    {token = args.token, owner = args.host, controller = ctx.controller, ttl_ms = args.ttl_ms})
  redis.call('HSET', K('larry:run'), 'id', args.run, 'digest', args.digest, 'plan', args.plan, 'state', 'creating',
    'seq', '0', 'epoch', args.epoch, 'created_at', F(NOW), 'definition', args.definition, 'emergency', args.emergency,
    'time_scale', tostring(args.time_scale), 'previous', args.previous or '', 'fallback', args.fallback or '')
  return {status = 'begun', run = args.run}
end
"""

RUN_LOAD = r"""
local function main()
  load_run()
  local state, rec = lease_look('creation')
  if state ~= 'held' or rec.token ~= args.token then refuse('creation_lost') end
  lease_extend('creation', rec, args.ttl_ms)
  for _, larry in ipairs(args.larrys or {}) do
    redis.call('SADD', K('larry:larrys'), larry.id)
    redis.call('HSET', larry_key(larry.id), 'status', 'pending', 'mode', 'running', 'total', larry.total,
      'weight_total', larry.weight_total, 'phase_us', larry.phase_us, 'planned_us', larry.planned_us,
      'checkpoints', larry.checkpoints, 'node', larry.node, 'domain', larry.domain, 'limit', larry.limit)
    redis.call('SET', K('phase:' .. larry.id .. ':status'), 'pending')
    redis.call('SET', K('phase:' .. larry.id .. ':progress'), '0')
    redis.call('SET', K('phase:' .. larry.id .. ':workers'), larry.workers)
    redis.call('SET', K('phase:' .. larry.id .. ':tasks'), larry.tasks)
    redis.call('SET', K('tokens:' .. larry.id .. ':limit'), larry.limit)
    redis.call('SET', K('tokens:' .. larry.id .. ':used'), '0')
    for account, limit in pairs(larry.accounts) do
      redis.call('HSET', K('larry:tokens:' .. larry.id), 'limit:' .. account, limit)
    end
  end
  for _, worker in ipairs(args.workers or {}) do
    redis.call('SADD', K('larry:workers:' .. worker.larry), worker.id)
    redis.call('HSET', worker_key(worker.id), 'larry', worker.larry, 'node', worker.node, 'status', 'absent',
      'capabilities', worker.capabilities, 'task', '')
    redis.call('SET', K('worker:' .. worker.id .. ':master'), worker.larry)
    redis.call('SET', K('worker:' .. worker.id .. ':node'), worker.node)
  end
  for _, task in ipairs(args.tasks or {}) do
    if redis.call('EXISTS', task_key(task.id)) == 0 then
      redis.call('HSET', task_key(task.id), 'state', 'pending', 'larry', task.larry, 'index', task.index,
        'capability', task.capability, 'worker', task.worker, 'weight', task.weight, 'planned_us', task.planned_us,
        'deadline_us', task.deadline_us, 'attempts', task.attempts, 'backoff_us', task.backoff_us,
        'touches', task.touches, 'waiting', task.waiting, 'depends_on', task.depends_on, 'after', task.after,
        'metered', task.metered, 'attempt', '0')
      redis.call('SET', K('task:status:' .. task.id), 'pending')
      redis.call('RPUSH', K('larry:tasks'), task.id)
      redis.call('RPUSH', K('larry:unsettled:' .. task.larry), task.id)
      if task.waiting == 0 then redis.call('RPUSH', K('larry:roots'), task.id) end
      for _, dependent in ipairs(task.dependents) do
        redis.call('RPUSH', K('larry:dependents:' .. task.id), dependent)
      end
    end
  end
  return {status = 'loaded'}
end
"""

RUN_OPEN = r"""
local function main()
  load_run()
  local before = recall(K('larry:run'), 'ops_run')
  if before then return before end
  local state, rec = lease_look('creation')
  if state ~= 'held' or rec.token ~= args.token then refuse('creation_lost') end
  if redis.call('LLEN', K('larry:tasks')) ~= args.tasks then refuse('incomplete') end
  redis.call('HSET', K('larry:run'), 'state', 'running', 'started_at', F(NOW))
  RUN.state = 'running'
  emit('run_created', {digest = RUN.digest, plan = RUN.plan, tasks = args.tasks})
  if args.seen then
    -- Nothing was left of the run: it is made anew under its name, in the epoch after the lost one.
    emit('run_recovered', {epoch = tonumber(RUN.epoch), old_epoch = tonumber(RUN.epoch) - 1, sequence = 0,
      seen = args.seen, voided = 0})
  end
  lease_clear('creation', rec)
  redis.call('DEL', lease_key('creation'))
  for _, larry in ipairs(redis.call('SMEMBERS', K('larry:larrys'))) do
    if tonumber(redis.call('HGET', larry_key(larry), 'total')) == 0 then phase_check(larry) end
  end
  timer('roots', '', NOW)
  return remember(K('larry:run'), 4, {status = 'running', run = RUN.id}, 'ops_run')
end
"""

RUN_FINISH = r"""
local function main()
  require_member()
  local before = recall(K('larry:run'), 'ops_run')
  if before then return before end
  if RUN.state ~= 'finished' then
    redis.call('HSET', K('larry:run'), 'state', 'finished', 'finished_at', F(NOW), 'outcome', args.outcome,
      'log_head', args.log_head)
    RUN.state = 'finished'
    emit('run_complete', {state = args.outcome, report = args.report})
    ring('run')
  end
  return remember(K('larry:run'), 4, {status = 'finished', run = RUN.id}, 'ops_run')
end
"""

# Opens failed tasks, and what they blocked, once more (larry_retry). The caller has worked out the counters from the
# plan; a task whose state changed since is left alone.
RUN_REOPEN = r"""
local function main()
  require_member()
  local before = recall(K('larry:run'), 'ops_reopen')
  if before then return before end
  if RUN.state ~= 'running' then refuse('not_running', {run = RUN.id, state = RUN.state}) end
  local opened = {}
  for _, one in ipairs(args.tasks) do
    local task = H(task_key(one.id))
    if task.state == one.state and (task.state == 'failed' or task.state == 'skipped') then
      local larry = larry_key(task.larry)
      redis.call('HINCRBY', larry, 'settled', -1)
      redis.call('HINCRBY', larry, task.state, -1)
      redis.call('HINCRBY', larry, 'weight_done', -tonumber(task.weight))
      metric(task.larry, 'tasks_' .. task.state, -1)
      redis.call('HSET', task_key(one.id), 'state', 'pending', 'waiting', one.waiting, 'cause', '', 'failures', '0',
        'lapses', '0', 'shared', '1')
      redis.call('HDEL', task_key(one.id), 'settled_at')
      redis.call('SET', K('task:status:' .. one.id), 'pending')
      redis.call('DEL', K('task:result:' .. one.id))
      redis.call('RPUSH', K('larry:unsettled:' .. task.larry), one.id)
      for _, parent in ipairs(one.parents) do
        redis.call('RPUSH', K('larry:dependents:' .. parent.id), parent.kind .. ':' .. one.id)
      end
      local fields = H(larry)
      set_public_progress(task.larry, fields)
      if fields.status == 'completed' or fields.status == 'failed' then
        local deadline = NOW + tonumber(fields.phase_us)
        redis.call('HSET', larry, 'status', 'in_progress', 'deadline', F(deadline), 'sweep', '', 'failure', '')
        redis.call('SET', K('phase:' .. task.larry .. ':status'), 'in_progress')
        redis.call('DEL', K('phase:' .. task.larry .. ':completed_at'))
        timer('phase', task.larry, deadline)
      end
      emit('task_reopened', {task_id = one.id, larry = task.larry})
      task.shared = '1'
      if one.waiting == 0 then
        make_ready(one.id, task)
        emit('task_ready', {task_id = one.id, larry = task.larry})
      end
      opened[#opened + 1] = one.id
    end
  end
  return remember(K('larry:run'), 4, {status = 'reopened', tasks = opened}, 'ops_reopen')
end
"""

# Deletes the keys of this run by name, in bounded steps. It cannot be undone; the caller archives first.
RUN_DELETE = r"""
local function main()
  if not load_run() then return {status = 'absent'} end
  if args.run ~= RUN.id then refuse('other_run', {run = RUN.id, state = RUN.state}) end
  local state, rec = lease_look('creation')
  if state == 'held' and rec.token ~= args.token then
    refuse('busy', {controller = rec.controller, left_ms = math.ceil((tonumber(rec.deadline) - NOW) / 1000)})
  end
  if RUN.state ~= 'deleting' then
    if RUN.state == 'running' and not args.force then
      for _, larry in ipairs(redis.call('SMEMBERS', K('larry:larrys'))) do
        local held, slot = lease_look('slot/' .. larry)
        if held == 'held' then
          refuse('led', {larry = larry, controller = slot.controller, host = slot.host, run = RUN.id,
            left_ms = math.ceil((tonumber(slot.deadline) - NOW) / 1000)})
        end
      end
    end
    redis.call('HSET', K('larry:run'), 'state', 'deleting')
  end
  lease_take('creation', rec,
    {token = args.token, owner = args.host, controller = ctx.controller, ttl_ms = args.ttl_ms})
  local gone = 0
  local function drop(name) gone = gone + redis.call('UNLINK', K(name)) end
  for _ = 1, 500 do
    local id = redis.call('LPOP', K('larry:tasks'))
    if not id then break end
    for _, name in ipairs({'task:lock:' .. id, 'task:status:' .. id, 'task:result:' .. id, 'larry:task:' .. id,
      'larry:lease:task/' .. id, 'larry:dependents:' .. id}) do drop(name) end
  end
  if redis.call('LLEN', K('larry:tasks')) > 0 then return {status = 'deleting', deleted = gone} end
  for _, larry in ipairs(redis.call('SMEMBERS', K('larry:larrys'))) do
    for _, worker in ipairs(redis.call('SMEMBERS', K('larry:workers:' .. larry))) do
      for _, name in ipairs({'worker:' .. worker .. ':master', 'worker:' .. worker .. ':node',
        'worker:' .. worker .. ':status', 'larry:worker:' .. worker, 'larry:lease:slot/' .. worker,
        'larry:ready:w:' .. worker, 'larry:bell:slot:' .. worker}) do drop(name) end
      for _, capability in ipairs(args.capabilities or {}) do drop('larry:ready:c:' .. larry .. ':' .. capability) end
    end
    for _, name in ipairs(redis.call('HKEYS', K('larry:metrics:' .. larry))) do
      drop('metrics:' .. larry .. ':' .. name)
    end
    for _, name in ipairs({'phase:' .. larry .. ':status', 'phase:' .. larry .. ':progress',
      'phase:' .. larry .. ':started_at', 'phase:' .. larry .. ':completed_at', 'phase:' .. larry .. ':workers',
      'phase:' .. larry .. ':tasks', 'phase:' .. larry .. ':findings', 'tokens:' .. larry .. ':used',
      'tokens:' .. larry .. ':limit', 'larry:tokens:' .. larry, 'larry:larry:' .. larry, 'larry:workers:' .. larry,
      'larry:metrics:' .. larry, 'larry:running:' .. larry, 'larry:unsettled:' .. larry, 'larry:bell:larry:' .. larry,
      'larry:lease:slot/' .. larry, 'larry:bell:slot:' .. larry, 'larry:lease:arrival/converge/' .. larry}) do
      drop(name)
    end
  end
  for _, thing in ipairs(redis.call('HKEYS', K('larry:paused'))) do drop('larry:parked:' .. thing) end
  for _, name in ipairs(redis.call('SMEMBERS', K('larry:extra'))) do drop(name) end
  for _, controller in ipairs(redis.call('HKEYS', K('larry:controllers'))) do
    -- A controller can hold stand-alone locks too; those are not this run's.
    for _, resource in ipairs(redis.call('SMEMBERS', K('larry:held:' .. controller))) do
      if string.sub(resource, 1, 5) ~= 'lock/' then redis.call('SREM', K('larry:held:' .. controller), resource) end
    end
  end
  for _, name in ipairs({'larry:larrys', 'larry:controllers', 'larry:timers', 'larry:cascade', 'larry:roots',
    'larry:log', 'larry:paused', 'larry:counters', 'larry:extra', 'larry:bell:run', 'larry:bell:barrier:converge',
    'larry:barrier:converge', 'larry:arrived:converge', 'larry:holds', 'larry:reserve', 'larry:tasks', 'larry:run',
    'larry:lease:creation'}) do drop(name) end
  redis.call('SREM', K('larry:held:' .. ctx.controller), 'creation')
  return {status = 'deleted', deleted = gone}
end
"""

SLOT_TAKE = r"""
local STANDBY_US = 25 * 1000000  -- longer than a turn of a standby (20 s)
local function main()
  require_member()
  tick()
  local slot = args.slot
  local resource = 'slot/' .. slot
  local is_worker = redis.call('EXISTS', worker_key(slot)) == 1
  if not is_worker and redis.call('EXISTS', larry_key(slot)) == 0 then refuse('no_slot', {slot = slot}) end
  local held, rec = slot_observe(slot)
  if held and rec.controller ~= ctx.controller then
    -- A barrier does not give up a member whose standby is there to take over.
    redis.call('HSET', lease_key(resource), 'standby_until', F(NOW + STANDBY_US))
    return {status = 'standby', slot = slot, controller = rec.controller, owner = rec.owner,
      left_ms = math.ceil((tonumber(rec.deadline) - NOW) / 1000), bell = bell('slot:' .. slot), run = RUN.state}
  end
  if held then return {status = 'held', slot = slot, fence = rec.fence, deadline = rec.deadline, changed = false} end
  local previous, lapsed_at = rec.controller, rec.lapsed_at
  local fence, deadline = lease_take(resource, rec, {token = ctx.op, owner = args.owner, controller = ctx.controller,
    host = slot, ttl_ms = args.ttl_ms, timer = true})
  redis.call('HDEL', lease_key(resource), 'lapsed_at', 'standby_until')
  if is_worker then
    local worker = H(worker_key(slot))
    redis.call('HSET', worker_key(slot), 'status', 'idle', 'absent', '', 'controller', ctx.controller,
      'free_since', F(NOW), 'machine', args.machine or '')
    redis.call('SET', K('worker:' .. slot .. ':status'), 'idle')
    emit('worker_registered', {worker = slot, larry = worker.larry, node = worker.node, controller = ctx.controller,
      machine = args.machine and cjson.decode(args.machine) or nil})
  else
    redis.call('HSET', larry_key(slot), 'controller', ctx.controller, 'lost_at', '')
    redis.call('HDEL', larry_key(slot), 'left_at')
    -- The time in which nobody led this Larry does not count against its phase.
    local fields = H(larry_key(slot))
    if fields.status == 'in_progress' and fields.deadline then
      local gap = lapsed_at and NOW - tonumber(lapsed_at) or 0
      redis.call('HSET', larry_key(slot), 'deadline', F(tonumber(fields.deadline) + gap))
      timer('phase', slot, tonumber(fields.deadline) + gap)
    end
    ring('barrier:converge')
  end
  if lapsed_at and previous and previous ~= ctx.controller then
    emit('slot_taken_over', {slot = slot, controller = ctx.controller, previous = previous})
    redis.call('HINCRBY', K('larry:counters'), 'takeovers', 1)
  end
  return {status = 'held', slot = slot, fence = fence, deadline = deadline, changed = true}
end
"""

SLOT_LEAVE = r"""
local function main()
  require_member()
  local slot = args.slot
  local state, rec = lease_look('slot/' .. slot)
  if state ~= 'held' or rec.controller ~= ctx.controller then return {status = 'not_held', changed = false} end
  lease_clear('slot/' .. slot, rec)
  ring('slot:' .. slot)
  if redis.call('EXISTS', worker_key(slot)) == 1 then
    redis.call('HSET', worker_key(slot), 'status', args.state, 'absent', '1')
    redis.call('SET', K('worker:' .. slot .. ':status'), args.state)
    local worker = H(worker_key(slot))
    if worker.task and worker.task ~= '' then
      local task = H(task_key(worker.task))
      local held, lease = task_observe(worker.task, task)
      if held and lease.controller == ctx.controller then
        lease_clear('task/' .. worker.task, lease)
        attempt_lost(worker.task, task, args.cause or 'its worker left', 0)
      end
    end
    if args.state == 'failed' then
      emit('worker_failure', {worker = slot, larry = worker.larry, cause = args.cause})
    end
    share_queue(slot)
  else
    redis.call('HSET', larry_key(slot), 'left_at', F(NOW))
    redis.call('HSET', lease_key('slot/' .. slot), 'lapsed_at', F(NOW))
    ring('barrier:converge')
  end
  return {status = 'left', changed = true}
end
"""

# The keeper's turn: every lease of one controller is renewed, or its loss is said. Ticks the timers as well.
RENEW = r"""
local function paused_task(id)
  local task = H(task_key(id))
  if not task.larry then return nil end
  local mode = redis.call('HGET', larry_key(task.larry), 'mode')
  if mode == 'cancelled' or mode == 'paused' then return mode end
  if task.touches ~= '' then
    for _, thing in ipairs(cjson.decode(task.touches)) do
      if redis.call('HEXISTS', K('larry:paused'), thing) == 1 then return 'paused' end
    end
  end
  return nil
end

local function main()
  load_run()
  if ctx.seen then
    require_history(false)
    MEMBER = true
  end
  if RUN then bridge_absence() end
  local answers = {}
  local soonest = nil
  local again = args.only
  if not again then again = redis.call('SMEMBERS', K('larry:held:' .. ctx.controller)) end
  for _, resource in ipairs(again) do
    local state, rec = lease_look(resource)
    local answer = {resource = resource, host = rec.host}
    if state == 'held' and rec.controller == ctx.controller then
      local id = string.match(resource, '^task/(.+)$')
      local mode = id and paused_task(id)
      if mode == 'paused' then rec.hard = '' end
      local deadline = tonumber(lease_extend(resource, rec, tonumber(rec.ttl)))
      answer.state = mode or 'kept'
      if rec.hard ~= '' and deadline >= tonumber(rec.hard) - 1000 and deadline - NOW < tonumber(rec.ttl) * 500 then
        answer.state = 'deadline'
      end
      if not soonest or tonumber(rec.ttl) < soonest then soonest = tonumber(rec.ttl) end
    else
      answer.state = 'lost'
      if RUN and string.match(resource, '^task/') then
        local id = string.sub(resource, 6)
        local task = H(task_key(id))
        if task.state then task_observe(id, task) end
      elseif RUN and string.match(resource, '^slot/') then
        slot_observe(string.sub(resource, 6))
      elseif string.match(resource, '^lock/') then
        local name, slot = string.match(resource, '^lock/(.+)/(%d+)$')
        local slots = tonumber(redis.call('HGET', K('larry:lock:' .. name), 'slots') or '1')
        if state == 'revoked' or state == 'lapsed' then
          -- A stand-alone lock is not told in the log of a run that happens to share the prefix.
          local run = RUN
          if rec.member ~= '1' then RUN = nil end
          lock_observe(name, slots, tonumber(slot))
          RUN = run
        end
      end
      redis.call('SREM', K('larry:held:' .. ctx.controller), resource)
    end
    answers[#answers + 1] = answer
  end
  if RUN and RUN.state == 'running' then tick() end
  return {status = 'renewed', answers = answers, soonest_ttl_ms = soonest, run = RUN and RUN.id or nil,
    next_ms = RUN and RUN.state == 'running' and next_timer_ms() or nil}
end
"""

# A controller ended: everything it held is given up at once, and said.
GONE = r"""
local function main()
  load_run()
  local released = {}
  local member = RUN and redis.call('HEXISTS', K('larry:controllers'), ctx.controller) == 1
  for _, resource in ipairs(redis.call('SMEMBERS', K('larry:held:' .. ctx.controller))) do
    local state, rec = lease_look(resource)
    if state == 'held' and rec.controller == ctx.controller then
      local kind, name = string.match(resource, '^(%w+)/(.+)$')
      if kind == 'task' and RUN then
        released[#released + 1] = 'task:lock:' .. name
        local task = H(task_key(name))
        lease_clear(resource, rec)
        if task.state == 'in_progress' then attempt_lost(name, task, 'its controller ended: ' .. args.cause, 0) end
      elseif kind == 'slot' and RUN then
        released[#released + 1] = 'slot:' .. name
        -- As if the lease had lapsed now: the same consequences, without the wait.
        redis.call('HSET', lease_key(resource), 'deadline', F(NOW))
        slot_observe(name)
      elseif kind == 'lock' then
        local lock, slot = string.match(name, '^(.+)/(%d+)$')
        released[#released + 1] = 'lock:' .. lock
        local run = RUN
        if rec.member ~= '1' then RUN = nil end
        emit('lease_released', {resource = 'lock:' .. lock, holder = rec.owner, fence = rec.fence,
          cause = 'its controller ended: ' .. args.cause})
        RUN = run
        lock_end(lock, tonumber(redis.call('HGET', K('larry:lock:' .. lock), 'slots') or '1'), tonumber(slot), rec)
      else
        redis.call('HSET', lease_key(resource), 'deadline', F(NOW))
        if kind == 'arrival' then
          ring('barrier:' .. rec.reason)
        else
          lease_clear(resource, rec)
        end
      end
    end
  end
  redis.call('DEL', K('larry:held:' .. ctx.controller))
  if member and #released > 0 and RUN.state == 'running' then
    emit('controller_gone', {controller = ctx.controller, cause = args.cause, released = released})
  end
  return {status = 'given_up', released = released}
end
"""
