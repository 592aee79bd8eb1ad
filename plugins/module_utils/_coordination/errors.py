# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed errors of the coordination layer. Each carries one sentence for a person and the facts behind it."""

from __future__ import annotations

import typing as t


class CoordinationError(Exception):
    """Base of all errors here.

    Attributes:
        sentence: what happened, to what, who holds it, for how long, and what to do next.
        facts: the server's reply or other details, JSON types only; never a secret.
    """

    def __init__(self, sentence: str, **facts: t.Any) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.facts = facts


class SettingsError(CoordinationError):
    """The connection or an argument is wrong; nothing was changed."""


class ServerUnavailable(CoordinationError):
    """The server cannot be reached or does not answer; nothing is known about the last operation."""


class Busy(CoordinationError):
    """A lease is held by somebody else and the wait is over."""


class Fenced(CoordinationError):
    """The caller is no longer the holder; what it wanted to record was refused."""


class NotJoined(CoordinationError):
    """The controller is not part of the run under this prefix."""


class HistoryLost(NotJoined):
    """The server lost a part of the history that this controller has seen; nothing is changed until it is recovered."""


class RunConflict(CoordinationError):
    """Another run is under this prefix."""


class BarrierFailed(CoordinationError):
    """The barrier broke or the wait for it timed out."""


class BudgetExceeded(CoordinationError):
    """A token budget does not allow the request."""


class Refused(CoordinationError):
    """The server refused an operation for a reason named in the sentence."""
