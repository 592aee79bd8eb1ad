# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session: one caller (controller, host) on one server, calling the scripts of the protocol."""

from __future__ import annotations

import hashlib
import json
import time
import typing as t
import uuid

from .connection import connect, redis, unavailable
from .errors import NotJoined, Refused
from .identity import Controller
from .lua.scripts import SCRIPTS
from .settings import Settings

_DIGESTS: dict[str, str] = {}

# One blocked read is shorter than the socket's time-out, so a dead server is noticed.
_LONGEST_BLOCK_MS = 2_000


def new_operation() -> str:
    """An operation id: the same one sent again has no second effect (law 3)."""
    return uuid.uuid4().hex


def without_none(value: t.Any) -> t.Any:
    """`value` without None in mappings: Lua has no null that is false."""
    if isinstance(value, dict):
        return {name: without_none(content) for name, content in value.items() if content is not None}
    if isinstance(value, (list, tuple)):
        return [without_none(content) for content in value]
    return value


class Session:
    """Calls scripts for one caller.

    Args:
        settings: the server and the prefix.
        controller: the incarnation on whose behalf the calls are made.
        host: name of the host (Ansible's inventory name) within the controller.
        member: True when the caller acts within the run under this prefix; False for stand-alone use.
        actor: who is named as `from` in events; the host by default.
        keep: leases taken are renewed by a keeper; without one they end with their TTL.
    """

    def __init__(
        self,
        settings: Settings,
        controller: Controller,
        host: str,
        member: bool = False,
        actor: str | None = None,
        keep: bool = True,
    ) -> None:
        self.settings = settings
        self.controller = controller
        self.host = host
        self.member = member
        self.actor = actor or host
        self.keep = keep
        self.waited_s = 0.0

    @property
    def client(self) -> t.Any:
        """The client of this process."""
        return connect(self.settings)

    def key(self, name: str) -> str:
        """`name` with the prefix before it."""
        return self.settings.prefix + name

    def call(
        self, script: str, arguments: dict[str, t.Any] | None = None, operation: str | None = None
    ) -> dict[str, t.Any]:
        """Runs one script atomically on the server.

        Args:
            script: a name of `lua.SCRIPTS`.
            arguments: JSON types; None is left out.
            operation: the operation id; a new one by default. Send the same one to repeat a call.

        Returns:
            The script's reply; `status` says how it went, `refused` is true when nothing was changed.

        Raises:
            NotJoined: this controller is not part of the run.
            ServerUnavailable: no answer.
        """
        context = {
            "op": operation or new_operation(),
            "controller": self.controller.id,
            "host": self.host,
            "actor": self.actor,
        }
        if self.member:
            context["member"] = True
        text = SCRIPTS[script]
        digest = _DIGESTS.get(script)
        if digest is None:
            digest = _DIGESTS[script] = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        sent = (1, self.key("larry:meta"), json.dumps(context), json.dumps(without_none(arguments or {})))
        client = self.client
        try:
            try:
                answer = client.evalsha(digest, *sent)
            except redis.exceptions.NoScriptError:
                answer = client.eval(text, *sent)
        except redis.exceptions.RedisError as error:
            raise unavailable(self.settings, error) from error
        reply = json.loads(answer)
        if reply.get("refused") and reply["status"] in ("no_run", "not_joined"):
            raise not_joined(self, reply)
        if reply.get("refused") and reply["status"] == "other_epoch":
            raise Refused(
                "The run was recovered under a new epoch since this controller joined; start the controller again."
            )
        return reply

    def wait_for(self, bells: dict[str, str], timeout_s: float) -> None:
        """Blocks until one of the bells rings or the time is over (a bell is rung by the script that changes state).

        Args:
            bells: name of a bell -> the last entry that the caller has seen.
            timeout_s: in seconds.
        """
        began = time.monotonic()
        streams = {self.key("larry:bell:" + name): last for name, last in bells.items()}
        try:
            while True:
                left_ms = int((timeout_s - (time.monotonic() - began)) * 1000)
                if left_ms <= 0:
                    return
                if self.client.xread(streams, block=min(left_ms, _LONGEST_BLOCK_MS), count=1):
                    return
        except redis.exceptions.RedisError as error:
            raise unavailable(self.settings, error) from error
        finally:
            self.waited_s += time.monotonic() - began


def not_joined(session: Session, reply: dict[str, t.Any]) -> NotJoined:
    """The sentence for a caller that is outside the run."""
    if reply["status"] == "no_run":
        return NotJoined(
            f"There is no run under the prefix {session.settings.prefix!r} on {session.settings.shown}; start one with "
            "playbooks/site.yml, or join it with cortex.larry.run: state=joined.",
            **reply,
        )
    return NotJoined(
        f"This controller has not joined the run {reply.get('run')} (plan {reply.get('plan')}); it was replaced or "
        "finished, or cortex.larry.run: state=joined was not called first. Start the controller again.",
        **reply,
    )
