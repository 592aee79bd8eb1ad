# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Token budgets: a hold before each request, settled after it (law 8)."""

from __future__ import annotations

import typing as t

from .errors import BudgetExceeded, Refused
from .session import Session, new_operation
from .slots import refused


class BudgetService:
    """Holds and charges on the accounts of one Larry (its workers and its master agents)."""

    def __init__(self, session: Session, larry: str) -> None:
        self.session = session
        self.larry = larry

    def reserve(
        self, account: str, amount: int, *, hold_s: float = 300.0, operation: str | None = None
    ) -> dict[str, t.Any]:
        """Holds `amount` tokens for one request. A hold that is not settled within `hold_s` seconds is charged in full.

        Raises:
            BudgetExceeded: spent and held would exceed the Larry's limit and what the emergency pool still gives.
        """
        reply = self.session.call(
            "tokens_reserve",
            {"larry": self.larry, "account": account, "amount": amount, "hold_ms": int(hold_s * 1000)},
            operation or new_operation(),
        )
        if reply["status"] == "over_budget":
            raise BudgetExceeded(
                f"{amount} tokens for {account} exceed the budget of {self.larry}: {reply['used']} used and "
                f"{reply['held']} held of {reply['limit']}, {reply['drawn']} drawn from the emergency pool, "
                f"{reply['reserve_left']} left in it.",
                **reply,
            )
        return self._checked(reply)

    def settle(self, hold: str, spent: int) -> dict[str, t.Any]:
        """Charges what a request used and gives back the rest of its hold."""
        return self._checked(
            self.session.call("tokens_settle", {"larry": self.larry, "hold": hold, "spent": spent}, "settle-" + hold)
        )

    def look(self) -> dict[str, t.Any]:
        """Limit, used, held, drawn, requests and the accounts; changes nothing. Read in one go."""
        pipe = self.session.client.pipeline(transaction=True)
        pipe.hgetall(self.session.key(f"larry:tokens:{self.larry}"))
        pipe.get(self.session.key(f"tokens:{self.larry}:limit"))
        pipe.get(self.session.key("larry:reserve"))
        pipe.hget(self.session.key("larry:run"), "emergency")
        book, limit, taken, emergency = pipe.execute()
        if limit is None:
            raise Refused(
                f"There is no budget of a Larry {self.larry} on {self.session.settings.shown}; "
                "the plan names the Larrys."
            )
        return budget_view(book, limit, taken, emergency)

    @staticmethod
    def _checked(reply: dict[str, t.Any]) -> dict[str, t.Any]:
        status = reply["status"]
        if status == "no_account":
            raise Refused(
                f"{reply['larry']} has no token account {reply['account']}; accounts are its workers and master agents."
            )
        if status == "no_hold":
            raise Refused(f"There is no hold {reply['hold']}: it was settled, or it expired and was charged in full.")
        if status == "over_hold":
            raise Refused(
                f"The request used {reply['spent']} tokens and held {reply['amount']}; "
                "hold the most that a request can use."
            )
        if reply.get("refused"):
            raise refused(reply)
        return reply


def budget_view(book: dict[str, str], limit: str | None, taken: str | None, emergency: str | None) -> dict[str, t.Any]:
    """A Larry's token record as numbers."""
    accounts: dict[str, dict[str, int]] = {}
    for name, value in book.items():
        kind, colon, account = name.partition(":")
        if colon:
            accounts.setdefault(account, {"limit": 0, "used": 0, "held": 0})[kind] = int(value)
    return {
        "limit": int(limit or 0),
        "used": int(book.get("used", 0)),
        "held": int(book.get("held", 0)),
        "metered_requests": int(book.get("requests", 0)),
        "reserve_drawn": int(book.get("drawn", 0)),
        "reserve_left": int(emergency or 0) - int(taken or 0),
        "accounts": accounts,
    }
