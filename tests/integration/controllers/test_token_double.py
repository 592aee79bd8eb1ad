# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A double spends tokens: a playbook that holds and settles like a capability would, and asks no model of anything.

With it the budget is shown from hold to refusal, read back from the documented keys and the log by a plain client.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.main_core

DOUBLE = """
- hosts: larrys
  gather_facts: false
  tasks:
    - cortex.larry.run: {state: joined}

    - when: inventory_hostname == 'east'
      block:
        - cortex.larry.tokens: {state: reserved, larry: east, account: east-one, amount: 60}
          register: hold

        - cortex.larry.tokens: {state: settled, larry: east, hold: "{{ hold.hold }}", spent: 50}

        - cortex.larry.tokens: {state: reserved, larry: east, account: east-one, amount: 45}
          register: above

        - cortex.larry.tokens: {state: reserved, larry: east, account: east-one, amount: 20}
          register: beyond
          ignore_errors: true

        - ansible.builtin.assert:
            that:
              - beyond is failed
              - beyond.error_class == 'BudgetExceeded'
              - "'exceed the budget of east' in beyond.msg"

    - when: inventory_hostname == 'west'
      block:
        - cortex.larry.tokens: {state: reserved, larry: west, account: west-one, amount: 100}
"""


@pytest.mark.timeout(180)
def test_a_double_spends_tokens(make_bench: Callable[..., Any], tmp_path: Path) -> None:
    def with_a_small_pool(plan: dict[str, Any]) -> None:
        plan["budgets"] = {"emergency": 10}

    bench = make_bench("pair", with_a_small_pool)
    book = tmp_path / "double.yml"
    book.write_text(DOUBLE)
    double = bench.run(book, timeout=120)
    assert double.wait() == 0, double.output
    with bench.client as client:
        assert client.get("tokens:east:limit") == "100"
        assert client.get("tokens:east:used") == "50"
        assert client.get("tokens:west:used") == "0"
    # 50 spent and 45 held are 5 above nine tenths of 100: they come from the pool, with an alert. West finds 5 left.
    alerts = {event["larry"]: event for event in bench.events("tokens_reserve_deployed")}
    assert (alerts["east"]["drawn"], alerts["east"]["left"]) == (5, 5)
    assert (alerts["west"]["drawn"], alerts["west"]["left"]) == (5, 0)
