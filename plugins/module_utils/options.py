# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one adapter from module parameters, variables and environment to the layers below."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t
import urllib.parse

from ._coordination.errors import CoordinationError, SettingsError
from ._coordination.fallback import fallen_back
from ._coordination.identity import Controller
from ._coordination.session import Session, outage_of
from ._coordination.settings import DEFAULT_TTL_MS, OPTIONS, Settings, check_ttl, flat

_TYPES: dict[str, dict[str, t.Any]] = {
    "text": {"type": "str"},
    "secret": {"type": "str", "no_log": True},
    "number": {"type": "float"},
    "path": {"type": "path"},
    "flag": {"type": "bool"},
}


def _option_of(name: str) -> str:
    """The option of a module for a key of the mapping in `redis`: redis_timeout for timeout, and prefix for prefix."""
    return name if name == "prefix" else f"redis_{name}"


# Options that every coordination module has; documented in the fragment cortex.larry.connection.
CONNECTION_SPEC: dict[str, dict[str, t.Any]] = {
    "redis": {"type": "raw"},
    **{_option_of(name): _TYPES[kind] for name, kind in OPTIONS.items()},
    # Not of the connection: how long a run goes on without it.
    "redis_outage": {"type": "float"},
    # Set by the action plugin when a task runs on its target, so that every task of a host is the same caller there.
    "caller": {"type": "dict"},
    "run_on": {"type": "str", "choices": ["controller", "target"], "default": "controller"},
}
# Where an option that a task leaves out is looked for: a variable, then the environment.
SOURCES = {
    option: (f"larry_{option}", f"LARRY_{option.upper()}")
    for option in ("redis", *(_option_of(name) for name in OPTIONS), "redis_outage", "ttl")
}


def with_sources(parameters: dict[str, t.Any], variable: t.Callable[[str], t.Any] | None = None) -> dict[str, t.Any]:
    """Fills the connection options that a task left out from variables and the environment.

    Args:
        parameters: of the task.
        variable: looks a variable up, templated; None where there are no variables (a module on a target).
    """
    filled = dict(parameters)
    for option, (name, environment) in SOURCES.items():
        if filled.get(option) is None and variable is not None:
            filled[option] = variable(name)
        if filled.get(option) is None and os.environ.get(environment):
            filled[option] = os.environ[environment]
    if isinstance(filled.get("redis"), dict):
        # A mapping, from a plan for instance, becomes single options: a target has no environment with our secrets.
        with contextlib.suppress(SettingsError):  # `settings_of` says what is wrong with it
            mapping = flat(filled["redis"])
            filled["redis"] = mapping.pop("url", None)
            for name, value in mapping.items():
                if filled.get(_option_of(name)) in (None, ""):
                    filled[_option_of(name)] = value
    return filled


def settings_of(parameters: dict[str, t.Any]) -> Settings:
    """The connection settings of filled parameters; a mapping in `redis` is taken as it is, options win over it."""
    value = parameters.get("redis")
    options: dict[str, t.Any] = {str(k): v for k, v in value.items()} if isinstance(value, dict) else {"url": value}
    for name in OPTIONS:
        if parameters.get(_option_of(name)) not in (None, ""):
            options[name] = parameters[_option_of(name)]
    return Settings.of({name: (str(text) if isinstance(text, str) else text) for name, text in options.items()})


def secrets_of(parameters: dict[str, t.Any]) -> list[str]:
    """Values that no log may hold: the options for passwords and what is inside a URL."""
    names = [name for name, kind in OPTIONS.items() if kind == "secret"]
    found = [parameters.get(_option_of(name)) for name in names]
    value = parameters.get("redis")
    if isinstance(value, dict):
        found += [value.get(name) for name in names]
        value = value.get("url")
    if isinstance(value, str):
        try:
            found.append(urllib.parse.urlsplit(value).password)
        except ValueError:
            pass
    return [str(one) for one in found if one]


@dataclasses.dataclass(frozen=True)
class Context:
    """Who calls, from where, and how.

    Attributes:
        parameters: the task's parameters with variables and environment filled in.
        controller: the incarnation that runs the playbook.
        host: inventory name of the host that the task runs for.
        check_mode: nothing may be changed.
        plan_file: path of the plan, where the inventory comes from one.
        keep: a keeper may be started (in the controller); a module on a target has none, so its leases end with their
            TTL.
    """

    parameters: dict[str, t.Any]
    controller: Controller
    host: str
    check_mode: bool
    plan_file: str | None = None
    keep: bool = True

    @property
    def settings(self) -> Settings:
        """The connection settings of this task; those of the embedded server once this controller fell back to it."""
        settings = settings_of(self.parameters)
        return fallen_back(settings, self.controller) or settings if self.keep else settings

    @property
    def ttl_ms(self) -> int:
        """How long a lease of this task lives without renewal, in milliseconds; 15 seconds unless said otherwise."""
        value = self.parameters.get("ttl")
        try:
            milliseconds = DEFAULT_TTL_MS if value in (None, "") else int(value) * 1000
        except (TypeError, ValueError):
            raise SettingsError(f"The ttl must be a whole number of seconds, not {value!r}.") from None
        return check_ttl(milliseconds)

    def session(self, member: bool | None = None, actor: str | None = None) -> Session:
        """A session for this caller; a member of the run when `member` (default: the option within_run)."""
        if member is None:
            member = bool(self.parameters.get("within_run"))
        return Session(
            self.settings,
            self.controller,
            self.host,
            member=member,
            actor=actor,
            keep=self.keep,
            outage_s=outage_of(self.parameters.get("redis_outage")),
        )

    def required(self, *names: str) -> list[t.Any]:
        """The values of parameters that this state needs.

        Raises:
            SettingsError: one is missing.
        """
        for name in names:
            if self.parameters.get(name) in (None, ""):
                raise SettingsError(f"The state {self.parameters.get('state')} needs the option {name}.")
        return [self.parameters[name] for name in names]


def failure_of(error: CoordinationError) -> dict[str, t.Any]:
    """The result of a task that failed with this error."""
    return {
        "failed": True,
        "changed": False,
        "msg": error.sentence,
        "error_class": type(error).__name__,
        "facts": error.facts,
    }


def with_fact(name: str, result: dict[str, t.Any]) -> dict[str, t.Any]:
    """`result`, and the same as the fact `name`: a skipped task overwrites what it registers, but not a fact."""
    return {**result, "ansible_facts": {name: result}}
