# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Token budgets: never beyond the cap, expired holds charged, one finite emergency pool for everybody."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.cortex.larry.plugins.module_utils._coordination.budgets import BudgetService
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import BudgetExceeded, Refused

TWO = {"larry-01": {"w1": ["cap"]}, "larry-02": {"w2": ["cap"]}}


def budget(one: Any, larry: str = "larry-01") -> BudgetService:
    return BudgetService(one.session, larry)


def test_reserve_and_settle(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}]))
    assert place.get("tokens:larry-01:limit") == "10000"
    assert place.get("tokens:larry-01:used") == "0"
    hold = budget(one).reserve("w1", 400)
    assert place.get("tokens:larry-01:used") == "0"
    budget(one).settle(hold["hold"], 150)
    assert place.get("tokens:larry-01:used") == "150"
    budget(one).settle(hold["hold"], 150)  # sent again
    assert place.get("tokens:larry-01:used") == "150"
    view = budget(one).look()
    assert (view["used"], view["held"], view["metered_requests"]) == (150, 0, 1)
    assert view["accounts"]["w1"] == {"limit": 500, "used": 150, "held": 0}


def test_a_reservation_sent_again_holds_once(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}]))
    holds = {budget(one).reserve("larry-01-master", 100, operation="op")["hold"] for _number in range(3)}
    assert len(holds) == 1
    assert place.plain.hget(place.key("larry:tokens:larry-01"), "held") == "100"


def test_the_cap_the_alert_and_the_one_pool(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}], limit=1000, emergency=150))
    with place.plain.pubsub(ignore_subscribe_messages=True) as ears:
        ears.subscribe(place.key("larry:alerts"))
        ears.get_message(timeout=1)
        first, second = budget(one), budget(one, "larry-02")
        first.reserve("larry-01-master", 900)
        assert ears.get_message(timeout=0.2) is None
        first.reserve("larry-01-master", 100)
        alert = json.loads(ears.get_message(timeout=2)["data"])
        assert (alert["event"], alert["larry"], alert["drawn"], alert["left"]) == (
            "tokens_reserve_deployed", "larry-01", 100, 50,
        )  # fmt: skip
    second.reserve("larry-02-master", 1000)
    assert [entry["left"] for entry in place.log("tokens_reserve_deployed")] == [50, 0]
    first.reserve("larry-01-master", 100)  # the pool carried the hundred above the line
    with pytest.raises(BudgetExceeded, match="0 left in it"):
        first.reserve("larry-01-master", 1)
    assert int(place.get("larry:reserve")) == 150


def test_an_expired_hold_is_charged_in_full(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}]))
    hold = budget(one).reserve("w1", 300, hold_s=0.1)
    time.sleep(0.2)
    one.tick()
    assert place.get("tokens:larry-01:used") == "300"
    with pytest.raises(Refused, match="expired and was charged in full"):
        budget(one).settle(hold["hold"], 1)
    assert place.get("tokens:larry-01:used") == "300"


def test_an_expired_hold_is_charged_although_nobody_looked(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}]))
    hold = budget(one).reserve("w1", 300, hold_s=0.1)
    time.sleep(0.2)
    with pytest.raises(Refused):
        budget(one).settle(hold["hold"], 1)
    assert place.get("tokens:larry-01:used") == "300"


def test_more_than_held_is_refused(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}]))
    hold = budget(one).reserve("w1", 100)
    with pytest.raises(Refused, match="used 101 tokens and held 100"):
        budget(one).settle(hold["hold"], 101)
    budget(one).settle(hold["hold"], 100)
    assert place.get("tokens:larry-01:used") == "100"


def test_strangers_are_refused(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}]))
    with pytest.raises(Refused, match="no token account w2"):
        budget(one).reserve("w2", 1)
    with pytest.raises(Refused, match="knows no larry larry-09"):
        budget(one, "larry-09").reserve("w1", 1)
    hold = budget(one).reserve("w1", 100)
    with pytest.raises(Refused, match="no hold"):
        budget(one, "larry-02").settle(hold["hold"], 1)


@pytest.mark.parametrize("amount", [-100, 1.5])
def test_a_reservation_of_nonsense_changes_nothing(place: Any, crew: Any, plan_of: Any, amount: float) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}]))

    def all_of_it() -> dict[str, bytes]:
        place.plain.hdel(place.key("larry:run"), "alive_at")  # when a member last called; a refused call is one too
        return {name: place.plain.dump(name) for name in place.own_keys() if "timers" not in name}

    before = all_of_it()
    with pytest.raises(Refused):
        budget(one).reserve("w1", amount)
    assert all_of_it() == before


def test_a_negative_settlement_gives_no_tokens_back(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}]))
    hold = budget(one).reserve("w1", 100)
    with pytest.raises(Refused):
        budget(one).settle(hold["hold"], -500)
    assert place.get("tokens:larry-01:used") == "0"


def test_an_account_is_a_record_and_no_cap(place: Any, crew: Any, plan_of: Any) -> None:
    """The cap is the Larry's (and the emergency pool's); its accounts tell who used what."""
    one = crew(plan_of(TWO, [{"id": "a"}]))
    budget(one).reserve("w1", 501)  # of 500
    assert place.plain.hget(place.key("larry:tokens:larry-01"), "held:w1") == "501"


def test_threads_never_exceed_the_cap(place: Any, crew: Any, plan_of: Any) -> None:
    one = crew(plan_of(TWO, [{"id": "a"}], limit=1000, emergency=100))
    granted: list[int] = []

    def spend() -> None:
        for _number in range(40):
            try:
                budget(one).reserve("larry-01-master", 37)
                granted.append(37)
            except BudgetExceeded:
                return

    threads = [threading.Thread(target=spend) for _number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(granted) <= 1100 and sum(granted) > 1100 - 37
    assert int(place.plain.hget(place.key("larry:tokens:larry-01"), "held")) == sum(granted)


STEP = st.one_of(
    st.tuples(st.just("reserve"), st.sampled_from(["larry-01", "larry-02"]), st.integers(1, 400)),
    st.tuples(st.just("settle"), st.integers(0, 50), st.floats(0, 1)),
    st.tuples(st.just("expire"), st.integers(0, 50), st.none()),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(STEP, max_size=25))
def test_spent_and_held_never_exceed_the_cap(place: Any, crew_at: Any, plan_of: Any, steps: list[Any]) -> None:
    """Law 8 against a plain model, after each step."""
    import dataclasses

    settings_ = dataclasses.replace(place.settings, prefix=f"{place.settings.prefix}{uuid.uuid4().hex[:6]}:")
    here = dataclasses.replace(place, settings=settings_)
    one = crew_at(here, plan_of(TWO, [{"id": "a"}], limit=1000, emergency=200))
    open_holds: list[tuple[str, str, int]] = []
    model = {name: {"used": 0, "held": 0, "drawn": 0} for name in TWO}
    for kind, what, how in steps:
        if kind == "reserve":
            mine = model[what]
            left = 200 - sum(book["drawn"] for book in model.values())
            above = mine["used"] + mine["held"] + how - 900
            draw = max(0, min(above - mine["drawn"], left))
            fits = mine["used"] + mine["held"] + how <= 1000 + mine["drawn"] + draw
            try:
                hold = budget(one, what).reserve(what + "-master", how)["hold"]
                assert fits
                mine["held"] += how
                mine["drawn"] += draw
                open_holds.append((hold, what, how))
            except BudgetExceeded:
                assert not fits
        elif open_holds:
            hold, larry, amount = open_holds.pop(what % len(open_holds))
            model[larry]["held"] -= amount
            if kind == "settle":
                spent = int(amount * how)
                budget(one, larry).settle(hold, spent)
            else:
                spent = amount
                here.plain.zadd(here.key("larry:timers"), {"hold:" + hold: 1})
                one.tick()
            model[larry]["used"] += spent
        for larry, mine in model.items():
            book = here.plain.hgetall(here.key("larry:tokens:" + larry))
            seen = {name: int(book.get(name, 0)) for name in ("used", "held", "drawn")}
            assert seen == mine
            assert int(here.get(f"tokens:{larry}:used")) == mine["used"]
            assert mine["used"] + mine["held"] <= 1000 + mine["drawn"]
        assert sum(book["drawn"] for book in model.values()) == int(here.get("larry:reserve") or 0) <= 200
    with here.plain.pipeline() as pipe:
        for name in here.own_keys():
            pipe.unlink(name)
        pipe.execute()
