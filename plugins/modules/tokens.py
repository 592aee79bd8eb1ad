#!/usr/bin/python
# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tokens
short_description: Hold tokens before a model request, and charge what it used
version_added: 0.1.0
description:
  - Holds tokens of a Larry's budget before a request to a language model, and charges what the request used after it.
    What is used and what is held never exceed together what the Larry may use.
  - The cap is that of the whole Larry, the key C(tokens:LARRY:limit). An account says for whom tokens were used; its
    own limit is shown by M(cortex.larry.tokens_info) and not enforced.
  - When used and held tokens exceed 90 % of the Larry's limit, what is above that line is drawn from the one
    emergency pool of the run as long as it lasts, and the alert C(tokens_reserve_deployed) says so.
  - A request that fits neither fails with the error class C(BudgetExceeded) before it is made.
author:
  - The cortex.larry contributors (@cortex-larry)
extends_documentation_fragment:
  - cortex.larry.connection
  - cortex.larry.attributes
  - cortex.larry.attributes.coordination
attributes:
  check_mode:
    support: full
    details:
      - The server is not asked, so a request that would exceed the budget is not noticed. There is no hold in check
        mode.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Each O(state=reserved) is a hold of its own. A hold can be settled once; settling it again fails with the
        reason C(Refused).
options:
  state:
    description:
      - What to do.
    type: str
    required: true
    choices:
      reserved: Hold O(amount) tokens for one request.
      settled: Charge O(spent) tokens of O(hold), and give back the rest.
  larry:
    description:
      - Id of the Larry in the plan.
    type: str
    required: true
  account:
    description:
      - Who uses the tokens, the id of a worker or the name of a master agent of the Larry. Required for
        O(state=reserved).
    type: str
  amount:
    description:
      - The most tokens that the request can use, at least V(1). Required for O(state=reserved).
    type: int
  hold:
    description:
      - RV(hold) of the reservation. Required for O(state=settled).
    type: str
  spent:
    description:
      - Tokens that the request used, from V(0) to the amount that was held; more is refused. Required for
        O(state=settled).
    type: int
  hold_for:
    description:
      - Seconds after which a hold that was not settled is charged in full, since the request may have been made, for
        O(state=reserved).
    type: float
    default: 300.0
notes:
  - The controller must have joined the run with M(cortex.larry.run); otherwise the error class is C(NotJoined).
seealso:
  - module: cortex.larry.tokens_info
"""
EXAMPLES = r"""
- name: Hold the most that the request can use
  cortex.larry.tokens:
    state: reserved
    larry: larry-03
    account: larry-03-documentation-worker
    amount: 4000
  register: budget

- name: Ask the model
  ansible.builtin.uri:
    url: https://models.example.com/v1/complete
    method: POST
    body_format: json
    body:
      prompt: "{{ prompt }}"
      max_tokens: 3000
  register: answer

- name: Charge what it used
  cortex.larry.tokens:
    state: settled
    larry: larry-03
    hold: "{{ budget.hold }}"
    spent: "{{ answer.json.usage.total_tokens }}"
"""
RETURN = r"""
hold:
  description: Id of the hold; hand it on as O(hold). Null in check mode with O(state=reserved).
  returned: success
  type: str
  sample: 9f0c2f5d8c7b4f0e9a3f6a1d2b7c8e90
used:
  description: Tokens that the Larry has used so far.
  returned: success, not in check mode
  type: int
  sample: 12000
held:
  description: Tokens of the Larry that are held for requests now.
  returned: success, not in check mode
  type: int
  sample: 4000
limit:
  description: Tokens that the plan gives the Larry.
  returned: success, not in check mode
  type: int
  sample: 211000
drawn:
  description: Tokens that the Larry has drawn from the emergency pool.
  returned: success, not in check mode
  type: int
  sample: 0
reserve_left:
  description: Tokens that are left in the emergency pool of the run.
  returned: success and O(state=reserved), not in check mode
  type: int
  sample: 25000
error_class:
  description:
    - Kind of a failure, for conditions in playbooks. C(msg) holds the sentence for people.
    - V(SettingsError) - an option or the way to the server is wrong, nothing was changed.
    - V(ServerUnavailable) - the server does not answer or refused the user.
    - V(BudgetExceeded) - the request exceeds the budget; RV(facts) has C(wanted), C(used), C(held), C(limit),
      C(drawn) and C(reserve_left).
    - V(NotJoined) - there is no run, or this controller has not joined it.
    - V(Refused) - there is no such Larry, account or hold (it was settled, or expired and was charged), or O(spent)
      exceeds what was held.
  returned: failure
  type: str
  sample: BudgetExceeded
facts:
  description:
    - Details behind a failure, as the server gave them. Which there are depends on RV(error_class).
  returned: failure
  type: dict
"""

import typing as t

from ansible_collections.cortex.larry.plugins.module_utils._coordination.budgets import BudgetService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import SettingsError
from ansible_collections.cortex.larry.plugins.module_utils.module_entry import run_on_target
from ansible_collections.cortex.larry.plugins.module_utils.options import CONNECTION_SPEC, Context

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    "state": {"type": "str", "choices": ["reserved", "settled"], "required": True},
    "larry": {"type": "str", "required": True},
    "account": {"type": "str"},
    "amount": {"type": "int"},
    "hold": {"type": "str"},
    "spent": {"type": "int"},
    "hold_for": {"type": "float", "default": 300.0},
    **CONNECTION_SPEC,
}


def execute(context: Context) -> dict[str, t.Any]:
    """Holds tokens before a request, or charges what it used."""
    wanted = context.parameters
    budgets = BudgetService(context.session(member=True), wanted["larry"])
    if wanted["state"] == "reserved":
        account, amount = context.required("account", "amount")
        if amount < 1:
            raise SettingsError(f"amount must be at least 1, not {amount}.")
        if context.check_mode:
            return {"changed": True, "hold": None}
        reply = budgets.reserve(account, amount, hold_s=wanted["hold_for"])
        return {
            "changed": True,
            "hold": reply["hold"],
            **{name: reply[name] for name in ("used", "held", "limit", "drawn", "reserve_left")},
        }
    hold, spent = context.required("hold", "spent")
    if spent < 0:
        raise SettingsError(f"spent must not be negative: {spent}.")
    if context.check_mode:
        return {"changed": True, "hold": hold}
    reply = budgets.settle(hold, spent)
    return {"changed": True, "hold": hold, **{name: reply[name] for name in ("used", "held", "limit", "drawn")}}


def main() -> None:
    """Entry on a target (run_on: target)."""
    run_on_target(ARGUMENT_SPEC, execute)


if __name__ == "__main__":
    main()
