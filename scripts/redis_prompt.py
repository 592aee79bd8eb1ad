# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the coordination server, without needing redis-cli: the program behind "make redis".

    redis_prompt.py                                       a prompt on the embedded server's data (the last run)
    redis_prompt.py GET phase:larry-01:status             one command
    redis_prompt.py --scan --pattern 'task:lock:*'        the names of keys, without blocking the server
    redis_prompt.py SUBSCRIBE larry:coordination larry:alerts      messages until Ctrl-C
    echo 'GET phase:larry-01:status' | redis_prompt.py    commands from standard input, one a line

Commands and output are redis-cli's: on a terminal with types and quotes, elsewhere as plain values (--no-raw and --raw
choose). The exit code is 1 when a command or the connection fails.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "playbooks" / "collections"))

try:
    import redis
except ImportError as import_error:
    sys.exit(
        f"The prompt needs the Redis client library ({import_error}): run '{sys.executable} -m pip install redis'."
    )

from ansible_collections.cortex.larry.plugins.module_utils._coordination.connection import (  # noqa: E402
    make_pool,
    unavailable,
)
from ansible_collections.cortex.larry.plugins.module_utils._coordination.embedded import (  # noqa: E402
    EmbeddedServerError,
    ensure_server,
)
from ansible_collections.cortex.larry.plugins.module_utils._coordination.errors import CoordinationError  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils._coordination.settings import Settings  # noqa: E402
from ansible_collections.cortex.larry.plugins.module_utils.options import settings_of, with_sources  # noqa: E402

PROMPT = "larry> "
STREAMING = {"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR"}
# Commands whose answer is text for people: shown as it is.
TEXTS = {"INFO", "LOLWUT", "CLIENT LIST", "CLIENT INFO", "MEMORY DOCTOR", "LATENCY DOCTOR", "CLUSTER INFO"}
# The client library does not tell a status from a string; these commands return strings that may look like a status.
READERS = {"ECHO", "EVAL", "EVALSHA", "FCALL", "GET", "GETDEL", "GETEX", "GETRANGE", "GETSET", "HGET", "HRANDFIELD"} | {
    *("LINDEX", "LMOVE", "LPOP", "RANDOMKEY", "RPOP", "RPOPLPUSH", "SPOP", "SRANDMEMBER", "ZRANDMEMBER")
}
STATUSES = {b"OK", b"PONG", b"QUEUED", b"RESET"}
ESCAPES = {ord("\\"): "\\\\", ord('"'): '\\"', 10: "\\n", 13: "\\r", 9: "\\t", 7: "\\a", 8: "\\b"}


class PromptError(Exception):
    """The server cannot be asked; the text is a sentence for the user."""


class WordParser(argparse.ArgumentParser):
    """A parser for what is typed at the prompt: it raises ValueError and never ends the program."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; write --scan, --scan --pattern 'task:lock:*' or --scan --count 100")


class Status(bytes):
    """A status reply such as OK: shown without quotes."""


class Text(bytes):
    """A reply that is text for people, in lines: shown as it is."""


def quoted(value: bytes) -> str:
    """Return a string as redis-cli quotes it: bytes that are not printable ASCII never reach the terminal."""
    return '"' + "".join(ESCAPES.get(b) or (chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in value) + '"'


def error_text(error: Exception) -> str:
    """Return an error as the server worded it: the client library cuts the codes that it knows."""
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code else str(error)


def formatted(reply: Any, indent: str = "") -> str:
    """Return a reply as redis-cli shows it on a terminal, with a line feed at its end."""
    if reply is None:
        return "(nil)\n"
    if isinstance(reply, Exception):
        return f"(error) {error_text(reply)}\n"
    if isinstance(reply, int):
        return f"(integer) {reply}\n"
    if isinstance(reply, Text):
        return reply.decode("utf-8", "replace").rstrip("\r\n") + "\n"
    if isinstance(reply, Status):
        return reply.decode("utf-8", "replace") + "\n"
    if isinstance(reply, (list, tuple)):
        if not reply:
            return "(empty array)\n"
        width = len(str(len(reply)))
        inner = indent + " " * (width + 2)
        return "".join(
            f"{indent if number > 1 else ''}{number:>{width}}) {formatted(element, inner)}"
            for number, element in enumerate(reply, 1)
        )
    return quoted(reply) + "\n"


def raw(reply: Any) -> bytes:
    """Return a reply as redis-cli writes it to a pipe: plain values, one a line."""
    if isinstance(reply, (list, tuple)):
        return b"".join(raw(element) for element in reply) or b"\n"
    if reply is None:
        return b"\n"
    if isinstance(reply, bytes):
        return reply.rstrip(b"\r\n") + b"\n" if isinstance(reply, Text) else reply + b"\n"
    return f"{error_text(reply) if isinstance(reply, Exception) else reply}\n".encode()


class Session:
    """One connection, and how its replies are shown.

    Args:
        url: C(embedded), or the URL of a server; user, password, TLS files and the prefix of a Cluster come from the
            environment (C(LARRY_REDIS_USERNAME) and so on), as for the modules.
        directory: the data directory of the embedded server; None for its default.
        is_raw: write plain values instead of redis-cli's terminal format.
    """

    def __init__(self, url: str, directory: str | None, is_raw: bool) -> None:
        self.url = url
        self.directory = directory
        self.is_raw = is_raw
        self.where = ""
        self._pool: redis.ConnectionPool | None = None
        self._connection: Any = None

    def connect(self) -> Any:
        """Return the connection; make it, and start the embedded server, if need be."""
        if self._connection is None:
            try:
                settings = settings_of(with_sources({"redis": self.url}))
                if settings.server == "embedded":
                    server = ensure_server(self.directory)
                    settings, self.where = Settings.of(server.url), f"the embedded server in {server.directory}"
                else:
                    self.where = f"the server {settings.shown}"
                # Somebody sits there and can ask again. No timeout for an answer: a BLPOP may take any time.
                settings = dataclasses.replace(settings, patience_s=min(settings.patience_s, 1.0))
                self._pool = make_pool(settings, socket_timeout=None, decode_responses=False)
                if settings.address.kind == "cluster":
                    # The node that has the prefix's keys; what is on others is answered with its address.
                    redis.Redis(connection_pool=self._pool).exists(settings.prefix + "larry:meta")
                self._connection = self._pool.get_connection()
            except CoordinationError as error:
                raise PromptError(f"Cannot connect: {error.sentence}") from error
            except (redis.RedisError, OSError) as error:
                raise PromptError(f"Cannot connect: {unavailable(settings, error).sentence}") from error
        return self._connection

    def close(self) -> None:
        """Drop the connection; the next command makes a new one."""
        if self._pool is not None:
            self._pool.disconnect()
        self._pool = self._connection = None

    def call(self, *words: str | bytes) -> Any:
        """Send one command and return its reply; an error reply is returned, not raised."""
        connection = self.connect()
        try:
            connection.send_command(
                *(word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word for word in words)
            )
            return self.read()
        except BaseException:
            self.close()  # whatever is still under way must not answer the next command
            raise

    def read(self) -> Any:
        """Return the next reply or message."""
        try:
            return self._connection.read_response(disable_decoding=True)
        except redis.RedisError as error:
            # A refused login counts as a lost connection in the library; what carries a code is the server's answer.
            if isinstance(error, redis.ResponseError) or getattr(error, "status_code", None):
                return error
            raise

    def show(self, reply: Any) -> None:
        """Write a reply to standard output."""
        if self.is_raw:
            sys.stdout.flush()
            sys.stdout.buffer.write(raw(reply))
            sys.stdout.buffer.flush()
        else:
            sys.stdout.write(formatted(reply))
            sys.stdout.flush()

    def run(self, words: Sequence[str]) -> bool:
        """Carry out one command of the user and show what it returns; False if it failed."""
        name = words[0].upper()
        try:
            if name == "--SCAN":
                return self._scan(scan_parser().parse_args(words))
            if name in STREAMING:
                return self._stream(words)
            reply = self.call(*words)
        except redis.ConnectionError as error:
            if name == "SHUTDOWN":  # its answer is that there is none
                return True
            raise PromptError(f"The connection to {self.where} is lost: {error}") from error
        except (redis.RedisError, OSError) as error:
            raise PromptError(f"Asking {self.where} failed: {error}") from error
        self.show(as_shown(words, reply))
        return not isinstance(reply, Exception)

    def scan(self, pattern: str | None, count: int) -> Iterator[bytes]:
        """Yield the names of the keys, in steps that do not block the server; a name may come twice."""
        cursor: bytes = b"0"
        while True:
            reply = self.call("SCAN", cursor, *(("MATCH", pattern) if pattern else ()), "COUNT", str(count))
            if isinstance(reply, Exception):
                raise PromptError(error_text(reply))
            cursor, names = reply
            yield from names
            if cursor == b"0":
                return

    def _scan(self, options: argparse.Namespace) -> bool:
        for name in self.scan(options.pattern, options.count):
            self.show(name)
        return True

    def _stream(self, words: Sequence[str]) -> bool:
        if not self.is_raw:
            print("Reading messages... (press Ctrl-C to quit)", flush=True)
        reply = self.call(*words)
        try:
            while True:
                self.show(Status(reply) if isinstance(reply, bytes) else reply)
                if isinstance(reply, Exception):
                    return False
                reply = self.read()
        except KeyboardInterrupt:
            print()
            return True
        finally:
            self.close()  # a subscribed connection takes no other commands


def as_shown(words: Sequence[str], reply: Any) -> Any:
    """Mark a reply that is a status or text for people."""
    name = words[0].upper()
    if not isinstance(reply, bytes):
        return reply
    if name in TEXTS or " ".join(words[:2]).upper() in TEXTS:
        return Text(reply)
    if name == "TYPE" or (reply in STATUSES and name not in READERS) or reply.startswith(b"Background "):
        return Status(reply)
    return reply


def scan_parser() -> argparse.ArgumentParser:
    """Return the parser of C(--scan) and its options, at the prompt and on the command line."""
    parser = WordParser(add_help=False)
    parser.add_argument("--scan", action="store_true", help="list the names of the keys")
    parser.add_argument("--pattern", help="with --scan: only names that match, such as 'task:lock:*'")
    parser.add_argument("--count", type=int, default=1000, help="with --scan: keys to look at in a step (%(default)s)")
    return parser


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[scan_parser()]
    )
    parser.add_argument(
        "--url",
        default=os.environ.get("LARRY_REDIS") or "embedded",
        help="the server: 'embedded' (default) or a URL; $LARRY_REDIS keeps a password out of the process list",
    )
    parser.add_argument("--directory", help="data directory of the embedded server (default: $LARRY_EMBEDDED_DIR, ...)")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--raw", action="store_true", default=None, help="plain values, also on a terminal")
    output.add_argument("--no-raw", action="store_false", dest="raw", help="types and quotes, also in a pipe")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="one command and its arguments")
    return parser.parse_args(arguments)


def run_line(session: Session, line: str) -> bool:
    """Carry out one line of input; False if it failed."""
    try:
        words = shlex.split(line)
        return session.run(words) if words else True
    except ValueError as error:
        session.show(redis.ResponseError(f"Invalid argument(s): {error}"))
    except (PromptError, EmbeddedServerError) as error:
        session.show(redis.ResponseError(str(error)))
    return False


def interactive(session: Session) -> int:
    """The prompt: until exit, quit or Ctrl-D. Nothing that is typed is kept on disk."""
    try:
        import readline  # noqa: F401  (gives input() its editing)
    except ImportError:
        pass
    size = session.call("DBSIZE")
    print(f"Connected to {session.where} ({size} keys). Ctrl-C ends a command, Ctrl-D or 'exit' leaves.")
    while True:
        try:
            line = input(PROMPT).strip()
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print()
            continue
        if line.lower() in ("exit", "quit"):
            return 0
        if line.lower() in ("help", "?"):
            print(__doc__)
            continue
        try:
            run_line(session, line)
        except KeyboardInterrupt:  # in a command that waits
            print()


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0, or 1 when something failed."""
    options = parse(arguments)
    session = Session(options.url, options.directory, not sys.stdout.isatty() if options.raw is None else options.raw)
    try:
        session.connect()
        if options.scan:
            if options.command:
                raise PromptError("--scan takes no command.")
            return 0 if session.run(["--scan", *arguments_of_scan(options)]) else 1
        if options.command:
            return 0 if session.run(options.command) else 1
        if sys.stdin.isatty():
            return interactive(session)
        outcomes = [run_line(session, line) for line in sys.stdin]
        return 0 if all(outcomes) else 1
    except (PromptError, EmbeddedServerError) as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader has had enough; keep the interpreter from complaining about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        session.close()


def arguments_of_scan(options: argparse.Namespace) -> list[str]:
    """Return the options of C(--scan) as words again."""
    return [*([f"--pattern={options.pattern}"] if options.pattern else []), f"--count={options.count}"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
