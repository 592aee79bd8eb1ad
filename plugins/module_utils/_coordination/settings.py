# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to reach the coordination server: one value for modules, plugins, the keeper and the launcher."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t
import urllib.parse

from .errors import SettingsError

DEFAULT_TTL_MS = 15_000  # law 4
_SCHEMES = ("redis", "unix")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where the server is and what stands before every key.

    Attributes:
        server: ``embedded``, ``redis://[user:password@]host[:port][/db]`` or ``unix:///path[?db=n]``.
        prefix: stands before every key and channel; empty by default.
        username: ACL user; wins over the one in the URL.
        password: wins over the one in the URL; never shown.
        timeout_s: for connecting and for one answer, in seconds.
    """

    server: str = dataclasses.field(repr=False)
    prefix: str = ""
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    timeout_s: float = 5.0

    @classmethod
    def of(cls, value: t.Any, prefix: str | None = None) -> Settings:
        """Settings from what a user wrote: a URL, the word ``embedded``, or a mapping with `url` and the options.

        Raises:
            SettingsError: one sentence that never shows a password.
        """
        options: dict[str, t.Any] = {}
        if isinstance(value, Settings):
            return value
        if isinstance(value, dict):
            options = {str(name): content for name, content in value.items() if content is not None}
            secured = sorted(name for name in options if name.startswith("tls_"))
            if secured:
                raise SettingsError(f"The redis option {secured[0]} needs TLS, which is not there yet in this release.")
            unknown = set(options) - {"url", "prefix", "username", "password", "password_env", "timeout"}
            if unknown:
                raise SettingsError(
                    f"The redis option does not know {', '.join(sorted(unknown))}; it knows url, prefix, username, "
                    "password, password_env and timeout."
                )
            if options.get("password_env"):
                secret = os.environ.get(str(options["password_env"]))
                if secret is None:
                    raise SettingsError(
                        f"The environment variable {options['password_env']}, which holds the password of the "
                        "coordination server, is not set."
                    )
                options.setdefault("password", secret)
            value = options.get("url")
        if not value:
            raise SettingsError(
                "No coordination server is named: set the option redis, the variable larry_redis or the environment "
                "variable LARRY_REDIS to redis://host:6379, unix:///path, or embedded (one for this user on this "
                "machine)."
            )
        server = str(value)
        if server != "embedded":
            try:
                parts = urllib.parse.urlsplit(server)
                scheme, _port = parts.scheme, parts.port
            except ValueError:
                # The message of the parser may show a part of the password.
                raise SettingsError(
                    "The URL of the coordination server cannot be read; write redis://host:port/db, and give user and "
                    "password by redis_username and redis_password (or percent-encode them)."
                ) from None
            if scheme not in _SCHEMES:
                raise SettingsError(
                    f"The coordination server must be embedded, redis://host:port/db or unix:///path; the scheme "
                    f"{scheme or '(none)'} is not supported."
                )
        name = str(options.get("prefix", prefix or ""))
        if re.search(r"[\s\x00-\x1f]", name):
            raise SettingsError("The prefix must not hold white space or control characters.")
        return cls(
            server=server,
            prefix=name,
            username=str(options["username"]) if "username" in options else None,
            password=str(options["password"]) if "password" in options else None,
            timeout_s=float(options.get("timeout", 5.0)),
        )

    @property
    def shown(self) -> str:
        """The server as it may be shown: without user and password."""
        if self.server == "embedded":
            return "embedded"
        parts = urllib.parse.urlsplit(self.server)
        host = parts.hostname or ""
        if parts.port:
            host += f":{parts.port}"
        return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))

    def as_dict(self) -> dict[str, t.Any]:
        """For a pipe to a process of ours; holds the password, so never for a log."""
        return dataclasses.asdict(self)


def check_ttl(ttl_ms: int) -> int:
    """A TTL in milliseconds between 1 second and 1 day."""
    if not 1_000 <= ttl_ms <= 86_400_000:
        raise SettingsError(f"The ttl must be between 1 second and 1 day, not {ttl_ms / 1000:g} seconds.")
    return ttl_ms
