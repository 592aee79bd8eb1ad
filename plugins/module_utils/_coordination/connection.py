# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one connection: from settings to a client. TCP, Unix socket and the embedded server.

The places for TLS, ACL files, Sentinel and Cluster are here: `connect` is the only function that makes a client.
"""

from __future__ import annotations

import inspect
import os
import typing as t

from .errors import ServerUnavailable, SettingsError
from .settings import Settings

try:
    import redis
    from redis.backoff import ExponentialBackoff
    from redis.retry import Retry

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


def server_address(settings: Settings) -> str:
    """The URL of the server; starts the embedded one where that is asked for."""
    if settings.server != "embedded":
        return settings.server
    from .embedded import ensure_server

    return ensure_server().url


def connect(settings: Settings) -> t.Any:
    """A redis.Redis client for these settings, cached for this process.

    Every mutation carries an operation id, so the client may send a command again after a lost reply.

    Raises:
        SettingsError: the Python package redis is missing, or the URL is wrong.
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
        options: dict[str, t.Any] = {
            "decode_responses": True,
            "socket_timeout": settings.timeout_s,
            "retry": Retry(ExponentialBackoff(cap=1.0, base=0.05), 6),
            "retry_on_error": [redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError],
            # A fork makes one call and ends, so what a client says of itself at each connection (HELLO, SETINFO,
            # SETNAME) would cost several times the call.
            "protocol": 2,
            **_SILENT,
        }
        if settings.username:
            options["username"] = settings.username
        if settings.password:
            options["password"] = settings.password
        address = server_address(settings)
        if not address.startswith("unix:"):
            options["socket_connect_timeout"] = settings.timeout_s
        try:
            client = redis.Redis.from_url(address, **options)
        except ValueError as error:
            raise SettingsError(f"The coordination server {settings.shown} cannot be used: {error}") from error
        _CLIENTS[key] = client
    return client


def disconnect(settings: Settings) -> None:
    """Closes and forgets this process's client for these settings."""
    client = _CLIENTS.pop((os.getpid(), settings), None)
    if client is not None:
        client.close()


def unavailable(settings: Settings, error: Exception) -> ServerUnavailable:
    """One sentence for whatever the client raised."""
    if redis is not None and isinstance(error, redis.exceptions.AuthenticationError):
        return ServerUnavailable(
            f"The coordination server {settings.shown} refused the user or the password; check redis.username and "
            "redis.password."
        )
    if redis is not None and isinstance(error, redis.exceptions.NoPermissionError):
        return ServerUnavailable(f"The user of the coordination server {settings.shown} lacks a right: {error}")
    if redis is not None and isinstance(error, redis.exceptions.ResponseError):
        return ServerUnavailable(f"The coordination server {settings.shown} answered with an error: {error}")
    return ServerUnavailable(
        f"The coordination server {settings.shown} does not answer ({error}); check that it runs and that this machine "
        "may reach it, then run the same command again: nothing is done twice."
    )
