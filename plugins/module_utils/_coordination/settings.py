# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to reach the coordination server: one value for modules, plugins, the keeper and the launcher."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import typing as t
import urllib.parse

from .errors import SettingsError

DEFAULT_TTL_MS = 15_000  # law 4

# What a mapping may hold beside `url`, and of which type; options.py makes module options, variables and environment
# variables of the same names. A secret can also be given as the name of an environment variable, in `<name>_env`.
OPTIONS: dict[str, str] = {
    "prefix": "text",
    "username": "text",
    "password": "secret",
    "timeout": "number",
    "patience": "number",
    "tls_ca_file": "path",
    "tls_cert_file": "path",
    "tls_key_file": "path",
    "tls_key_password": "secret",
    "tls_check_hostname": "flag",
    "sentinel_username": "text",
    "sentinel_password": "secret",
    "sentinel_tls": "flag",
}

_KINDS = {"": "single", "+sentinel": "sentinel", "+cluster": "cluster"}
_PORTS = {"single": 6379, "sentinel": 26379, "cluster": 6379}
# Compiled here, so that a fork inherits them: it makes one call, and compiling costs more than the rest of the URL.
_NO_BLANKS = re.compile(r"[\s\x00-\x1f]")
_SERVICE = re.compile(r"[A-Za-z0-9._-]+")
_ENDS_WITH_PORT = re.compile(r":[^]:]*$")  # the colons of [::1] are none
_HOST = re.compile(r"[\w.:%-]+")
_FORMS = (
    "embedded, redis://host:port/db, unix:///path, redis+sentinel://host:port,host:port/service/db or "
    "redis+cluster://host:port,host:port (rediss for TLS)"
)


@dataclasses.dataclass(frozen=True)
class Address:
    """What a URL says.

    Attributes:
        kind: ``single``, ``unix``, ``sentinel`` or ``cluster``.
        tls: the servers are spoken to with TLS.
        hosts: host and port of the server, of the Sentinels, or of the nodes to begin with.
        path: of a Unix socket.
        service: the name under which Sentinels know the primary.
        shown: the URL without user, password and query.
    """

    kind: str
    tls: bool = False
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    shown: str = ""

    @classmethod
    @functools.lru_cache(maxsize=16)
    def of(cls, url: str) -> Address:
        """The parts of a URL.

        Raises:
            SettingsError: one sentence that repeats nothing of what could be a password.
        """
        try:
            return cls._of(url)
        except ValueError:
            # The message of a parser may show a part of the password.
            raise SettingsError(
                f"The URL of the coordination server cannot be read; write {_FORMS}, and give user and password by "
                "redis_username and redis_password (or percent-encode them)."
            ) from None

    @classmethod
    def _of(cls, url: str) -> Address:
        parts = urllib.parse.urlsplit(url)
        base, plus, how = parts.scheme.partition("+")
        if base not in ("redis", "rediss", "unix") or plus + how not in _KINDS or (plus and base == "unix"):
            raise SettingsError(
                f"The coordination server must be {_FORMS}; the scheme {parts.scheme or '(none)'} is not supported."
            )
        if parts.fragment or _NO_BLANKS.search(url):
            raise ValueError
        login, _at, hosts = parts.netloc.rpartition("@")
        user, _colon, secret = login.partition(":")
        query = urllib.parse.parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        if set(query) - {"db", "username", "password"}:
            raise SettingsError(
                "The URL of the coordination server has options behind '?' that are not known here; write them as "
                "redis_ options of their own."
            )
        username = query.get("username", [urllib.parse.unquote(user)])[0] or None
        password = query.get("password", [urllib.parse.unquote(secret)])[0] or None
        if base == "unix":
            path = urllib.parse.unquote(parts.path)
            if hosts or not path.startswith("/"):
                raise ValueError
            db = _database(query.get("db", ["0"])[0])
            return cls("unix", path=path, db=db, username=username, password=password, shown=f"unix://{path}")
        kind = _KINDS[plus + how]
        found = tuple(_host(text, _PORTS[kind]) for text in hosts.split(","))
        if kind == "single" and len(found) > 1:
            raise SettingsError(
                "A redis:// URL names one server; for several ones write redis+sentinel:// or redis+cluster://."
            )
        places = [urllib.parse.unquote(one) for one in parts.path.split("/")[1:]]
        service = places.pop(0) if kind == "sentinel" and places else ""
        if kind == "sentinel" and not _SERVICE.fullmatch(service):
            raise SettingsError(
                "A redis+sentinel:// URL names the service behind the hosts, as in "
                "redis+sentinel://host-1:26379,host-2:26379/larry; letters, digits, dots, dashes and underscores."
            )
        if len(places) > 1:
            raise ValueError
        db = _database(query.get("db", [places[0] if places else "0"])[0] or "0")
        if kind == "cluster" and db:
            raise SettingsError("A Cluster has only the database 0; leave the number out of the redis+cluster:// URL.")
        shown = f"{parts.scheme}://{hosts}{parts.path}"
        return cls(kind, base == "rediss", found, "", service, db, username, password, shown)


def _host(text: str, port: int) -> tuple[str, int]:
    name, number = text, str(port)
    if _ENDS_WITH_PORT.search(text):
        name, _colon, number = text.rpartition(":")
    name = name.strip("[]")
    if not name or not number.isdigit() or not 0 < int(number) < 65536 or not _HOST.fullmatch(name):
        raise ValueError
    return name, int(number)


def _database(text: str) -> int:
    if not text.isdigit():
        raise ValueError
    return int(text)


def has_hash_tag(prefix: str) -> bool:
    """True if every key with this prefix is in one slot of a Cluster: the first braces are in it, and not empty."""
    first = prefix.find("{")
    return first >= 0 and prefix.find("}", first) > first + 1


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where the server is and what stands before every key.

    Attributes:
        server: ``embedded``, ``redis://[user:password@]host[:port][/db]``, ``unix:///path[?db=n]``,
            ``redis+sentinel://host[:port],.../service[/db]`` or ``redis+cluster://host[:port],...``; ``rediss`` instead
            of ``redis`` for TLS.
        prefix: stands before every key and channel; empty by default. With a Cluster it holds a hash tag.
        username: ACL user; wins over the one in the URL.
        password: wins over the one in the URL; never shown.
        timeout_s: for connecting and for one answer, in seconds.
        patience_s: a call is sent again for that long while the server does not answer or cannot take it, in seconds;
            by default 10, and 20 with Sentinels or a Cluster, where a fail-over takes its time.
        tls_ca_file, tls_cert_file, tls_key_file: PEM files: what to trust beside the system's certificates, and the
            client's own certificate and key.
        tls_key_password: of the key; never shown.
        tls_check_hostname: the certificate must name the host that was asked for.
        sentinel_username, sentinel_password: for the Sentinels; those of the server are never sent to them.
        sentinel_tls: the Sentinels are spoken to with TLS; by default as the server.
    """

    server: str = dataclasses.field(repr=False)
    prefix: str = ""
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    timeout_s: float = 5.0
    patience_s: float = 10.0
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_key_password: str | None = dataclasses.field(default=None, repr=False)
    tls_check_hostname: bool = True
    sentinel_username: str | None = None
    sentinel_password: str | None = dataclasses.field(default=None, repr=False)
    sentinel_tls: bool | None = None

    @classmethod
    def of(cls, value: t.Any, prefix: str | None = None) -> Settings:
        """Settings from what a user wrote: a URL, the word ``embedded``, or a mapping with `url` and the options.

        Raises:
            SettingsError: one sentence that never shows a password.
        """
        if isinstance(value, Settings):
            return value
        options: dict[str, t.Any] = {}
        if isinstance(value, dict):
            options = flat(value)
            value = options.pop("url", None)
        if not value:
            raise SettingsError(
                "No coordination server is named: set the option redis, the variable larry_redis or the environment "
                "variable LARRY_REDIS to redis://host:6379, unix:///path, or embedded (one for this user on this "
                "machine)."
            )
        server = str(value)
        read = {name: _typed(name, content) for name, content in options.items()}
        name = read.pop("prefix", prefix or "")
        if _NO_BLANKS.search(name):
            raise SettingsError("The prefix must not hold white space or control characters.")
        timing = {f"{one}_s": read.pop(one) for one in ("timeout", "patience") if one in read}
        if server == "embedded":
            # Its directory is its protection. What the environment says of another server has no meaning for it.
            return cls(server, name, **timing)
        address = Address.of(server)
        if address.kind in ("sentinel", "cluster"):
            timing.setdefault("patience_s", 20.0)
        if address.kind == "cluster" and not has_hash_tag(name):
            raise SettingsError(
                f"On a Cluster the prefix must hold a hash tag, so that all keys are in one slot: write {{larry}}: "
                f"instead of {name!r} (run.prefix, larry_prefix or LARRY_PREFIX)."
            )
        _check_options(address, read)
        return cls(server, name, **timing, **read)

    @property
    def address(self) -> Address:
        """The parts of the URL; of the embedded server there is none before it runs."""
        return Address.of(self.server)

    @property
    def shown(self) -> str:
        """The server as it may be shown: without user and password."""
        return "embedded" if self.server == "embedded" else self.address.shown

    def as_dict(self) -> dict[str, t.Any]:
        """For a pipe to a process of ours; holds the password, so never for a log."""
        return dataclasses.asdict(self)


def flat(mapping: dict[t.Any, t.Any]) -> dict[str, t.Any]:
    """The options of a mapping, without those that say nothing, and with the secrets that `..._env` names.

    Raises:
        SettingsError: an option is not known, or an environment variable is not set.
    """
    given = {str(name): content for name, content in mapping.items() if content is not None}
    secrets = [name for name, kind in OPTIONS.items() if kind == "secret"]
    unknown = set(given) - {"url", *OPTIONS, *(f"{name}_env" for name in secrets)}
    if unknown:
        raise SettingsError(
            f"The redis option does not know {', '.join(sorted(unknown))}; it knows url, {', '.join(OPTIONS)}, and "
            f"{', '.join(f'{name}_env' for name in secrets)}."
        )
    for name in secrets:
        variable = given.pop(f"{name}_env", None)
        if variable and name not in given:
            if str(variable) not in os.environ:
                raise SettingsError(
                    f"The environment variable {variable}, which holds the {name} of the coordination server, is not "
                    "set."
                )
            given[name] = os.environ[str(variable)]
    return given


def _typed(name: str, value: t.Any) -> t.Any:
    """One option in its type; texts come from variables and the environment."""
    kind = OPTIONS[name]
    text = str(value)
    if kind == "number":
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        # Patience may be none at all; a time-out of 0 would refuse every server.
        if not 0 <= number <= 86_400 or (name == "timeout" and number == 0):
            raise SettingsError(f"The redis option {name} wants a number of seconds, at most 86400, not {text!r}.")
        return number
    if kind == "flag":
        if text.lower() not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
            raise SettingsError(f"The redis option {name} wants true or false, not {text!r}.")
        return text.lower() in ("true", "yes", "on", "1")
    # The keeper lives in another directory, so a path must not depend on ours.
    return os.path.abspath(os.path.expanduser(text)) if kind == "path" else text


def _check_options(address: Address, options: dict[str, t.Any]) -> None:
    """Refuses what has no effect: somebody would think it had."""
    for name in sorted(options):
        if name.startswith("sentinel_") and address.kind != "sentinel":
            raise SettingsError(f"The redis option {name} is for a redis+sentinel:// URL, and {address.shown} is none.")
        if name.startswith("tls_") and not (address.tls or options.get("sentinel_tls")):
            raise SettingsError(
                f"The redis option {name} is for TLS, and {address.shown} is spoken to without it; write rediss instead"
                " of redis."
            )
    if "tls_key_file" in options and "tls_cert_file" not in options:
        raise SettingsError("The redis option tls_key_file needs the certificate beside it: set tls_cert_file too.")


def check_ttl(ttl_ms: int) -> int:
    """A TTL in milliseconds between 1 second and 1 day."""
    if not 1_000 <= ttl_ms <= 86_400_000:
        raise SettingsError(f"The ttl must be between 1 second and 1 day, not {ttl_ms / 1000:g} seconds.")
    return ttl_ms
