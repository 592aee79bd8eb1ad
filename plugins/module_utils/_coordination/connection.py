# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one connection: from settings to a client, and from what a client raises to a sentence.

`connect` is the only function that makes a client. A fork makes one call and ends, so a client says nothing of itself
and asks nothing that it need not know.

Sentinel and Cluster look alike from here. All keys of a prefix are in one slot, so both are one primary whose address
can change: a connection asks a locator for the address each time it is made, and what the primary refuses because it is
no longer one ends the connection. redis-py's own clients for them are not used. The one for Sentinels connects to the
old address again when a connection is lost within a call (8.1). The one for Clusters asks for the map of slots and for
the description of every command before its first call, and it follows ASK: while a slot is moved, that leads to a node
which has a part of the keys, and a script there would see a part of the run. Here a call waits until the slot is moved.
"""

from __future__ import annotations

import inspect
import os
import random
import re
import ssl
import threading
import time
import typing as t

from .errors import CoordinationError, ServerUnavailable, SettingsError
from .settings import Address, Settings

try:
    import redis

    REDIS_IMPORT_ERROR: Exception | None = None
except ImportError as error:  # pragma: no cover - depends on the installation
    redis = None  # type: ignore[assignment]
    REDIS_IMPORT_ERROR = error

# redis-py 7 renamed what switches CLIENT SETINFO off.
_SILENT: dict[str, t.Any] = {"lib_name": None, "lib_version": None}
if redis is not None and "driver_info" in inspect.signature(redis.connection.AbstractConnection.__init__).parameters:
    _SILENT = {"driver_info": None}

# A client per process and settings: a socket must never be shared across a fork.
_CLIENTS: dict[tuple[int, Settings], t.Any] = {}
# The connection of `exchange`, likewise.
_LINES: dict[tuple[int, Settings], _Line] = {}
_LOOK_AFTER_S = 1.0

# A Sentinel is near and has little to do; the next one is asked after this long.
_SENTINEL_TIMEOUT_S = 1.0

# What a server answers before it has changed anything, and not for ever. A script checks before it changes, and what
# refuses a write refuses the first one of a script, so the script has changed nothing either.
_PASSING: dict[str, str] = {
    "LOADING": "is still loading its data; wait until it has started",
    "READONLY": "is a replica; name the primary, or let Sentinels name it (redis+sentinel://)",
    "MASTERDOWN": "is a replica that has lost its primary; see why no other one took over",
    "CLUSTERDOWN": "belongs to a Cluster that is down; see which of its nodes are (CLUSTER NODES)",
    "TRYAGAIN": "moves the slot of this prefix to another node; wait until it has",
    "ASK": "moves the slot of this prefix to another node, and no call is made while it does; wait until it has",
    "BUSY": "is kept busy by a script of somebody else; end it with SCRIPT KILL",
    "NOREPLICAS": "has fewer replicas than it was told to have (min-replicas-to-write), so it takes no writes; see why "
    "they are gone",
    "MISCONF": "cannot write to its disk, so it takes no writes; see its log and the space left",
    "OOM": "has no memory left (maxmemory); give it more, or delete what nobody needs",
    "UNBLOCKED": "stopped being the primary while it was asked; try again",
}
_LASTING: dict[str, str] = {
    "NOPERM": "does not let this user do that; give it the rights of examples/acl/larry.acl",
    "CROSSSLOT": "is a node of a Cluster and the prefix has no hash tag; write redis+cluster:// and a prefix like "
    "{larry}:",
    "MOVED": "is a node of a Cluster, and this prefix is on another one; write redis+cluster:// and a prefix like "
    "{larry}:",
}


def code_of(error: BaseException | None) -> str:
    """The first word of the server's answer (``READONLY``, ``NOPERM``, ...); empty for what is no answer of a server.

    redis-py has classes for some codes and cuts the word off then; which ones depends on its version.
    """
    if redis is None or not isinstance(error, redis.RedisError):
        return ""
    for name, code in (
        ("BusyLoadingError", "LOADING"),
        ("ReadOnlyError", "READONLY"),
        ("NoPermissionError", "NOPERM"),
        ("AuthenticationError", "WRONGPASS"),
        ("OutOfMemoryError", "OOM"),
        ("MasterDownError", "MASTERDOWN"),
        ("ClusterDownError", "CLUSTERDOWN"),
        ("TryAgainError", "TRYAGAIN"),
        ("ClusterCrossSlotError", "CROSSSLOT"),
        ("MovedError", "MOVED"),  # before its base class
        ("AskError", "ASK"),
    ):
        kind = getattr(redis.exceptions, name, None)
        if kind is not None and isinstance(error, kind):
            return code
    if not isinstance(error, redis.ResponseError):
        return ""
    text = str(error)
    if "ACL failure in script" in text or "user executing the script can't" in text:
        return "NOPERM"
    # What a command within a script was refused for stands behind the place in the script.
    found = re.search(r"user_script:\s?\d+: -?([A-Z]+) ", text) or re.match(r"([A-Z]+) ", text)
    return found.group(1) if found else "ERR"


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS itself refused; a connection that was merely cut off is nothing of the kind."""
    while error is not None:
        if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return error
        error = error.__cause__ or error.__context__
    return None


class Patience:
    """Sends a call again while the server does not answer or cannot take it: what redis-py wants of a `Retry`.

    Every mutation carries an operation id, so a call that is sent again has no second effect (law 3).

    redis-py retries within a retry: a command does, and each connection that is made for it. All connections of a
    client share this object, and only the outermost of such turns is patient, so the time is what it says it is.

    Args:
        seconds: for how long after the first failure.
        locator: is told of each failure; answers whether it knows a better address now.
    """

    def __init__(self, seconds: float, locator: Locator | None = None) -> None:
        self.seconds = seconds
        self.locator = locator
        self._inside = threading.local()

    def __deepcopy__(self, _memo: t.Any) -> Patience:
        return self

    def update_supported_errors(self, _errors: t.Iterable[type[Exception]]) -> None:
        """redis-py adds the errors of `retry_on_error` here; which ones pass is said by `passing` alone."""

    def get_retries(self) -> int:
        """redis-py asks only to count what it tells others."""
        return 0

    def call_with_retry(
        self,
        do: t.Callable[[], t.Any],
        fail: t.Callable[..., t.Any],
        is_retryable: t.Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> t.Any:
        """Calls `do` until it succeeds, `fail` after each failure."""
        if getattr(self._inside, "is_waiting", False):
            return do()
        self._inside.is_waiting = True
        try:
            failures, deadline = 0, None
            while True:
                try:
                    return do()
                except (redis.RedisError, OSError) as error:
                    if not self.passing(error) or (is_retryable and not is_retryable(error)):
                        raise
                    failures += 1
                    # Ends the connection, so that the next turn makes a new one, with whom the locator names.
                    fail(error, failures) if with_failure_count else fail(error)
                    # The first hint is followed at once; nodes that send us to and fro are given time.
                    hinted = self.locator is not None and self.locator.notice(error) and failures == 1
                    now = time.monotonic()
                    deadline = now + self.seconds if deadline is None else deadline
                    if now >= deadline and not hinted:
                        raise
                    pause = 0.0 if hinted else min(1.0, 0.05 * 2 ** min(failures, 6)) * random.uniform(0.5, 1.0)
                time.sleep(min(pause, max(deadline - now, 0.0)))
        finally:
            self._inside.is_waiting = False

    def passing(self, error: BaseException) -> bool:
        """True for what may be over soon."""
        if _tls_error(error) is not None:
            return False
        code = code_of(error)
        if code:
            return code in _PASSING or (code == "MOVED" and self.locator is not None)
        return isinstance(error, (redis.ConnectionError, redis.TimeoutError, OSError))


class Locator:
    """Where the primary is; asked for each connection that is made."""

    def find(self) -> tuple[str, int]:
        """Host and port to connect to."""
        raise NotImplementedError

    def notice(self, _error: BaseException) -> bool:
        """A call failed; True if another address is known now."""
        return False


class SentinelLocator(Locator):
    """Asks one Sentinel after the other: one connection and one question."""

    def __init__(self, settings: Settings, address: Address) -> None:
        self._settings = settings
        self._service = address.service
        self._hosts = list(address.hosts)
        self._options: dict[str, t.Any] = {
            "decode_responses": True,
            "socket_timeout": min(settings.timeout_s, _SENTINEL_TIMEOUT_S),
            "socket_connect_timeout": min(settings.timeout_s, _SENTINEL_TIMEOUT_S),
            "retry": Patience(0.0),
            "protocol": 2,
            "username": settings.sentinel_username,
            "password": settings.sentinel_password,
            **_SILENT,
        }
        is_secured = address.tls if settings.sentinel_tls is None else settings.sentinel_tls
        self._kind = _connections(None, _tls_context(settings) if is_secured else None)

    def find(self) -> tuple[str, int]:
        silent, ignorant = [], []
        for host, port in list(self._hosts):
            name = f"{host}:{port}"
            pool = redis.ConnectionPool(connection_class=self._kind, host=host, port=port, **self._options)
            client = redis.Redis(connection_pool=pool)
            try:
                found = client.sentinel_get_master_addr_by_name(self._service)
            except redis.RedisError as error:
                if _tls_error(error) is not None:
                    raise
                if code_of(error):
                    raise self._refused(name, error) from error
                silent.append(name)
                continue
            finally:
                pool.disconnect()
            if found:
                # The one that answered is asked first the next time.
                self._hosts.remove((host, port))
                self._hosts.insert(0, (host, port))
                return found[0], int(found[1])
            ignorant.append(name)
        if ignorant:
            raise ServerUnavailable(
                f"The Sentinels {', '.join(ignorant)} know no service {self._service}; the name stands behind the hosts"
                " in redis+sentinel://, and in sentinel monitor of their configuration."
            )
        raise redis.ConnectionError(f"none of the Sentinels {', '.join(silent)} answers")

    @staticmethod
    def _refused(name: str, error: Exception) -> CoordinationError:
        if code_of(error) == "WRONGPASS":
            return ServerUnavailable(
                f"The Sentinel {name} refused the user or the password; check redis_sentinel_username and "
                "redis_sentinel_password."
            )
        if "unknown command" in str(error).lower():
            return SettingsError(f"{name} is no Sentinel; a redis+sentinel:// URL names Sentinels, mostly port 26379.")
        return ServerUnavailable(f"The Sentinel {name} answered with an error: {error}")


class SlotLocator(Locator):
    """The owner of the prefix's slot: the first call goes to any node, which names the owner (MOVED)."""

    def __init__(self, address: Address) -> None:
        self._nodes = list(address.hosts)
        self._turn = 0
        self._owner: tuple[str, int] | None = None

    def find(self) -> tuple[str, int]:
        return self._owner or self._nodes[self._turn % len(self._nodes)]

    def notice(self, error: BaseException) -> bool:
        found = re.search(r"(\d+) (\S*):(\d+)$", str(error)) if code_of(error) == "MOVED" else None
        if found is not None:
            # A node that knows no address of the owner means its own.
            self._owner = (found.group(2).strip("[]") or self.find()[0], int(found.group(3)))
            if self._owner not in self._nodes:
                self._nodes.append(self._owner)  # it can be asked when those that were named are gone
            return True
        if code_of(error) in ("", "CLUSTERDOWN", "READONLY", "MASTERDOWN"):
            # It is gone, or no owner any more; the next node knows who is.
            self._owner = None
            self._turn += 1
        return False


def _greet_primary(connection: t.Any) -> None:
    """Logs in, and makes sure that this is the primary: a Sentinel may not know yet that it no longer is."""
    connection.on_connect()
    connection.send_command("ROLE")
    role = connection.read_response()[0]
    if role not in ("master", b"master"):
        raise redis.ConnectionError(f"{connection.host}:{connection.port} is a replica now")


def _tls_context(settings: Settings) -> ssl.SSLContext:
    """What TLS may trust and show, read once: redis-py would load every certificate of the system for each connection,
    which costs tens of milliseconds, and trust them beside the file that was named.
    """
    for name in ("tls_ca_file", "tls_cert_file", "tls_key_file"):
        path = getattr(settings, name)
        if path is not None and not os.access(path, os.R_OK):
            raise SettingsError(f"The file {path} (redis_{name}) is not there, or this user may not read it.")
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file)
    except ssl.SSLError as error:
        raise SettingsError(
            f"The file {settings.tls_ca_file} (redis_tls_ca_file) holds no certificate in PEM form."
        ) from error
    context.check_hostname = settings.tls_check_hostname
    if settings.tls_cert_file is not None:
        try:
            # Without a password OpenSSL would ask the terminal for that of an encrypted key, in a fork.
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, settings.tls_key_password or "")
        except (ssl.SSLError, ValueError) as error:
            raise SettingsError(
                f"The certificate {settings.tls_cert_file} (redis_tls_cert_file) and its key do not belong together, "
                "or the key is encrypted and redis_tls_key_password does not open it."
            ) from error
    return context


def _connections(locator: Locator | None, context: ssl.SSLContext | None) -> t.Callable[..., t.Any]:
    """What a pool calls to make a connection: one of redis-py's that asks where to go, and wraps its socket in TLS."""

    def make(**options: t.Any) -> t.Any:
        connection = redis.Connection(**options)
        plain = connection._connect

        def connect_socket() -> t.Any:
            if locator is not None:
                connection.host, connection.port = locator.find()
            sock = plain()
            if context is None:
                return sock
            try:
                return context.wrap_socket(sock, server_hostname=connection.host)
            except OSError:
                sock.close()
                raise

        connection._connect = connect_socket
        return connection

    return make


def make_pool(settings: Settings, **changes: t.Any) -> t.Any:
    """A pool of connections to the primary; `changes` replace options of redis-py's connections.

    Raises:
        SettingsError: a file for TLS cannot be read.
        ServerUnavailable: the embedded server does not start.
    """
    address = Address.of(server_address(settings))
    locator: Locator | None = None
    if address.kind == "sentinel":
        locator = SentinelLocator(settings, address)
    elif address.kind == "cluster":
        locator = SlotLocator(address)
    options: dict[str, t.Any] = {
        "decode_responses": True,
        "socket_timeout": settings.timeout_s,
        "retry": Patience(settings.patience_s, locator),
        "retry_on_error": [redis.RedisError] if redis is not None else [],
        # What a client says of itself at each connection (HELLO, SETINFO, SETNAME) would cost several times the call.
        "protocol": 2,
        "username": settings.username or address.username,
        "password": settings.password or address.password,
        "db": address.db,
        **_SILENT,
    }
    if address.kind == "unix":
        return redis.ConnectionPool(
            connection_class=redis.UnixDomainSocketConnection, path=address.path, **(options | changes)
        )
    options["socket_connect_timeout"] = settings.timeout_s
    if address.kind == "sentinel":
        options["redis_connect_func"] = _greet_primary
    if locator is None:
        options["host"], options["port"] = address.hosts[0]
    kind = _connections(locator, _tls_context(settings) if address.tls else None)
    return redis.ConnectionPool(connection_class=kind, **(options | changes))


def server_address(settings: Settings) -> str:
    """The URL of the server; starts the embedded one where that is asked for."""
    if settings.server != "embedded":
        return settings.server
    from .embedded import ensure_server

    return ensure_server().url


def connect(settings: Settings) -> t.Any:
    """A redis.Redis client for these settings, cached for this process.

    Raises:
        SettingsError: the Python package redis is missing, or a file for TLS cannot be read.
        ServerUnavailable: the embedded server does not start.
    """
    if redis is None:
        raise SettingsError(
            "The Python package redis is missing on the controller; install it into the environment of ansible-core: "
            "python -m pip install redis"
        )
    key = (os.getpid(), settings)
    client = _CLIENTS.get(key)
    if client is None:
        client = _CLIENTS[key] = redis.Redis(connection_pool=make_pool(settings))
    return client


def exchange(settings: Settings, *command: t.Any) -> t.Any:
    """Sends one command and reads its answer, over a connection that this process keeps for that.

    A client of redis-py takes a connection out of its pool, looks at it and puts it back for each command, which costs
    more than the exchange itself. Retries, time-outs and errors are those of the connection, so they are the same.
    """
    client = connect(settings)
    if threading.current_thread() is not threading.main_thread():
        return client.execute_command(*command)
    pool = client.connection_pool
    kept = _LINES.get((os.getpid(), settings))
    if kept is None or kept.pool is not pool:
        kept = _LINES[os.getpid(), settings] = _Line(pool)
    return kept.exchange(command)


class _Line:
    """A connection of a pool that is not given back."""

    def __init__(self, pool: t.Any) -> None:
        self.pool = pool
        self.connection = pool.get_connection()
        self.used_at = time.monotonic()

    def exchange(self, command: tuple[t.Any, ...]) -> t.Any:
        connection = self.connection
        now = time.monotonic()
        if now - self.used_at > _LOOK_AFTER_S:
            # The server may have closed it meanwhile: to see that first is quicker than to fail and try again.
            try:
                stale = connection.can_read()
            except (redis.RedisError, OSError):
                stale = True
            if stale:
                connection.disconnect()
        self.used_at = now

        def do() -> t.Any:
            connection.send_command(*command)
            return connection.read_response()

        try:
            return connection.retry.call_with_retry(do, lambda _error: connection.disconnect())
        except redis.ResponseError:
            raise
        except BaseException:
            # An answer that nobody read would be taken for that of the next call.
            connection.disconnect()
            raise


def disconnect(settings: Settings) -> None:
    """Closes and forgets this process's client for these settings."""
    client = _CLIENTS.pop((os.getpid(), settings), None)
    if client is not None:
        client.connection_pool.disconnect()


def unavailable(settings: Settings, error: Exception) -> ServerUnavailable:
    """One sentence for whatever the client raised: what happened, where, and what to do."""
    where = f"The coordination server {settings.shown}"
    code = code_of(error)
    refused = _tls_error(error)
    if refused is not None:
        return ServerUnavailable(f"{where} cannot be spoken to with TLS: {_tls_sentence(refused)}")
    if code == "WRONGPASS":
        return ServerUnavailable(
            f"{where} refused the user or the password; check redis_username and redis_password (in a plan "
            "run.redis.username and password_env)."
        )
    known = _PASSING.get(code) or _LASTING.get(code)
    if code == "MOVED" and settings.address.kind == "cluster":
        known = "has nodes that do not agree on who has the slot of this prefix; see CLUSTER NODES"
    if known:
        return ServerUnavailable(f"{where} {known}. It said: {code} {error}"[:1000])
    if code:
        return ServerUnavailable(f"{where} answered with an error: {error}")
    tls = ""
    if settings.server != "embedded" and settings.address.kind != "unix":
        # A server without TLS waits for the rest of a line when TLS begins, and one with it hangs up when it does not.
        tls = " (speaking TLS on this port)" if settings.address.tls else " (without TLS: else write rediss)"
    return ServerUnavailable(
        f"{where} does not answer ({error}); check that it runs{tls} and that this machine may reach it, then run the "
        "same command again: nothing is done twice."
    )


def _tls_sentence(error: ssl.SSLError) -> str:
    text = f"{error.reason or ''} {error}".upper()
    reason = getattr(error, "verify_message", "") or str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        if "MISMATCH" in reason.upper() or "IP ADDRESS" in reason.upper():
            return (
                f"its certificate is for another name ({reason}). Write the name of the certificate, or set "
                "redis_tls_check_hostname to false where servers are reached by addresses."
            )
        return f"its certificate is not trusted ({reason}). Set redis_tls_ca_file to the certificate that signed it."
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER" in text:
        return "it does not speak TLS on this port. Write redis instead of rediss, or the port that does."
    if "ALERT" in text and "CERTIFICATE" in text or "UNKNOWN_CA" in text:
        return (
            f"it does not accept our certificate ({error.reason}). Set redis_tls_cert_file and redis_tls_key_file to "
            "one that it trusts."
        )
    return f"{reason}. See whether redis_tls_cert_file, redis_tls_key_file and redis_tls_key_password belong together."
