# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua of token budgets: holds before a request, settled after it; one finite emergency pool for the run."""

from __future__ import annotations

TOKENS = r"""
local function budget(larry)
  local fields = H(K('larry:tokens:' .. larry))
  return tonumber(fields.used or '0'), tonumber(fields.held or '0'), tonumber(fields.drawn or '0'), fields
end

local function charge(larry, account, amount)
  redis.call('HINCRBY', K('larry:tokens:' .. larry), 'used', amount)
  redis.call('HINCRBY', K('larry:tokens:' .. larry), 'used:' .. account, amount)
  redis.call('SET', K('tokens:' .. larry .. ':used'), redis.call('HGET', K('larry:tokens:' .. larry), 'used'))
end

-- Many holds pass between a call and its repetition, so each one remembers its own calls (law 3), for longer than a
-- call can be under way: what is over stays for ten minutes.
local HOLD_MEMORY_US = 600 * 1000000
local function keep_hold(id, hold) redis.call('HSET', K('larry:holds'), id, cjson.encode(hold)) end

local function end_hold(id, hold)
  redis.call('HINCRBY', K('larry:tokens:' .. hold.larry), 'held', -hold.amount)
  redis.call('HINCRBY', K('larry:tokens:' .. hold.larry), 'held:' .. hold.account, -hold.amount)
  hold.over = true
  timer('hold', id, NOW + HOLD_MEMORY_US)
end

-- An expired hold is charged in full: the request may have been made.
TIMERS.hold = function(id)
  local kept = redis.call('HGET', K('larry:holds'), id)
  if not kept then return end
  local hold = cjson.decode(kept)
  if hold.over then
    redis.call('HDEL', K('larry:holds'), id)
    return
  end
  end_hold(id, hold)
  keep_hold(id, hold)
  charge(hold.larry, hold.account, hold.amount)
  emit('tokens_hold_expired', {larry = hold.larry, account = hold.account, amount = hold.amount})
end
"""

TOKENS_RESERVE = r"""
local function main()
  require_member()
  if type(args.amount) ~= 'number' or args.amount < 1 or args.amount ~= math.floor(args.amount) then
    refuse('bad_amount', {amount = args.amount})
  end
  local key = K('larry:tokens:' .. args.larry)
  -- guard: repeat. A hold is made once, also if the call comes again after many others.
  local kept = redis.call('HGET', K('larry:holds'), ctx.op)
  if kept then return cjson.decode(kept).reserved end
  tick()
  local fields = H(larry_key(args.larry))
  if not fields.limit then refuse('no_larry', {larry = args.larry}) end
  local used, held, drawn, book = budget(args.larry)
  if not book['limit:' .. args.account] then refuse('no_account', {account = args.account, larry = args.larry}) end
  local limit = tonumber(fields.limit)
  local wanted = used + held + args.amount
  local line = math.floor(limit * 0.9)
  local pool = tonumber(redis.call('HGET', K('larry:run'), 'emergency') or '0')
  local taken = tonumber(redis.call('GET', K('larry:reserve')) or '0')
  -- Above 90 % of the Larry's limit the emergency pool carries what is above the line, as long as it lasts.
  local draw = math.max(0, math.min(wanted - line - drawn, pool - taken))
  -- guard: cap (law 8). Spent and held never exceed the limit and what was drawn from the pool.
  if wanted > limit + drawn + draw then
    refuse('over_budget', {larry = args.larry, account = args.account, wanted = args.amount, used = used, held = held,
      limit = limit, drawn = drawn, reserve_left = pool - taken})
  end
  local hold = ctx.op
  timer('hold', hold, NOW + args.hold_ms * 1000)
  redis.call('HINCRBY', key, 'held', args.amount)
  redis.call('HINCRBY', key, 'held:' .. args.account, args.amount)
  redis.call('HINCRBY', key, 'requests', 1)
  if draw > 0 then
    redis.call('INCRBY', K('larry:reserve'), draw)
    redis.call('HINCRBY', key, 'drawn', draw)
    emit('tokens_reserve_deployed', {larry = args.larry, drawn = drawn + draw, left = pool - taken - draw})
  end
  local reply = {status = 'reserved', hold = hold, amount = args.amount, used = used, held = held + args.amount,
    limit = limit, drawn = drawn + draw, reserve_left = pool - taken - draw}
  keep_hold(hold, {larry = args.larry, account = args.account, amount = args.amount, reserved = reply})
  return reply
end
"""

TOKENS_SETTLE = r"""
local function main()
  require_member()
  if type(args.spent) ~= 'number' or args.spent < 0 or args.spent ~= math.floor(args.spent) then
    refuse('bad_amount', {amount = args.spent})
  end
  tick()  -- a hold that expired is charged in full, whoever notices it first
  local kept = redis.call('HGET', K('larry:holds'), args.hold)
  local hold = kept and cjson.decode(kept)
  if not hold or hold.larry ~= args.larry then refuse('no_hold', {hold = args.hold}) end
  -- guard: repeat. The same settlement sent again gets the first answer.
  if hold.over then
    if hold.settled and hold.op == ctx.op then return hold.settled end
    refuse('no_hold', {hold = args.hold})
  end
  -- guard: spent. What a request used beyond its hold is refused: the hold is the promise.
  if args.spent > hold.amount then refuse('over_hold', {hold = args.hold, amount = hold.amount, spent = args.spent}) end
  end_hold(args.hold, hold)
  charge(hold.larry, hold.account, args.spent)
  local used, held, drawn = budget(args.larry)
  hold.op, hold.settled = ctx.op, {status = 'settled', spent = args.spent, used = used, held = held, drawn = drawn,
    limit = tonumber(redis.call('HGET', larry_key(args.larry), 'limit'))}
  keep_hold(args.hold, hold)
  return hold.settled
end
"""

EVENT_PUBLISH = r"""
local function main()
  if ctx.member then require_member() end
  local before
  if ctx.member then before = published(ctx.op) else before = recall_lately() end
  if before then return before end
  local data = {}
  ALERTS[args.event] = args.alert or ALERTS[args.event]
  emit(args.event, data, args.data)
  ring('events')
  local reply = {status = 'published', id = data.id, timestamp = data.timestamp,
    channel = K(ALERTS[args.event] and 'larry:alerts' or 'larry:coordination')}
  if not ctx.member then return remember_lately(reply) end
  redis.call('SADD', K('larry:extra'), 'larry:bell:events')
  -- Without this reply the caller writes the event to its journal: the delivery must not publish it a second time.
  note_published(ctx.op, reply)
  return reply
end
"""
