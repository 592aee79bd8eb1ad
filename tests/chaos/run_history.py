# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run left on the server, read with plain redis-py into plain JSON types, and what is seen while it runs.

Nothing of the collection is imported here: the names of the keys are written out a second time on purpose.
"""

from __future__ import annotations

import json
import time
from typing import Any

import redis

_PAGE = 500
# Keys of others on the same server. Some look like ours without the prefix, or with one that ours begins with.
CANARIES = {
    "canary": ("string", "sings"),
    "larry:run": ("hash", {"id": "somebody else's", "state": "running", "seq": "7"}),
    "task:lock:t-000001": ("string", "somebody else"),
    "task:status:t-000001": ("string", "pending"),
    "lock:m-lock": ("string", "somebody else"),
    "larry:log": ("list", ["not", "a", "stream"]),
    "larry:timers": ("set", ["a"]),
    "c:canary": ("string", "near the prefix"),
    "phase:larry-01:status": ("string", "pending"),
}


def place_canaries(client: redis.Redis) -> None:
    """Puts keys beside the run."""
    for name, (kind, content) in CANARIES.items():
        if kind == "string":
            client.set(name, content)
        elif kind == "hash":
            client.hset(name, mapping=content)
        elif kind == "list":
            client.rpush(name, *content)
        else:
            client.sadd(name, *content)


def outside(socket: str, prefix: str) -> dict[str, str]:
    """Every key that does not begin with the prefix, with its content and expiry."""
    found = {}
    with redis.Redis(unix_socket_path=socket, socket_timeout=10) as raw:
        for key in raw.scan_iter("*", count=2000):
            name = key.decode(errors="replace")
            if not name.startswith(prefix):
                found[name] = f"{raw.dump(key).hex()} {raw.pttl(key)}"
    return found


def read_log(client: redis.Redis, key: str) -> list[dict[str, Any]]:
    """A log: each entry with the id of its place in the stream as `at`."""
    out: list[dict[str, Any]] = []
    last = "-"
    while True:
        page = client.xrange(key, last, "+", _PAGE)
        out += [{"at": place, **json.loads(fields["m"])} for place, fields in page]
        if len(page) < _PAGE:
            return out
        last = f"({page[-1][0]}"


def read_history(client: redis.Redis, prefix: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Everything of a run, by the names in docs/protocol.md."""

    def key(name: str) -> str:
        return prefix + name

    tasks: dict[str, Any] = {}
    ids = list(plan["tasks"])
    for start in range(0, len(ids), _PAGE):
        page = ids[start : start + _PAGE]
        pipe = client.pipeline(transaction=False)
        for task in page:
            pipe.hgetall(key(f"larry:task:{task}"))
            pipe.get(key(f"task:status:{task}"))
            pipe.hgetall(key(f"larry:lease:task/{task}"))
            pipe.get(key(f"task:lock:{task}"))
        answers = pipe.execute()
        for place, task in enumerate(page):
            record, status, lease, lock = answers[4 * place : 4 * place + 4]
            tasks[task] = {"record": record, "status": status, "lease": lease, "lock": lock}
    larrys, workers = {}, {}
    for larry, declared in plan["larrys"].items():
        larrys[larry] = {
            "record": client.hgetall(key(f"larry:larry:{larry}")),
            "status": client.get(key(f"phase:{larry}:status")),
            "progress": client.get(key(f"phase:{larry}:progress")),
            "tokens": client.hgetall(key(f"larry:tokens:{larry}")),
            "used": client.get(key(f"tokens:{larry}:used")),
            "metrics": client.hgetall(key(f"larry:metrics:{larry}")),
            "running": sorted(client.smembers(key(f"larry:running:{larry}"))),
        }
        for worker in declared["workers"]:
            workers[worker] = {
                "record": client.hgetall(key(f"larry:worker:{worker}")),
                "queue": client.zrange(key(f"larry:ready:w:{worker}"), 0, -1),
            }
        for capability in {task["capability"] for task in plan["tasks"].values()}:
            larrys[larry].setdefault("queue", []).extend(
                client.zrange(key(f"larry:ready:c:{larry}:{capability}"), 0, -1)
            )
    locks = {}
    for name in client.scan_iter(key("larry:lock:*"), count=1000):
        short = name[len(key("larry:lock:")) :]
        locks[short] = client.hgetall(name)
    return {
        "plan": plan,
        "prefix": prefix,
        "run": client.hgetall(key("larry:run")),
        "log": read_log(client, key("larry:log")),
        "standalone_log": read_log(client, key("larry:standalone:log")),
        "standalone_sequence": client.get(key("larry:standalone:sequence")),
        "tasks": tasks,
        "larrys": larrys,
        "workers": workers,
        "locks": locks,
        "timers": client.zrange(key("larry:timers"), 0, -1),
        "cascade": client.lrange(key("larry:cascade"), 0, -1),
        "holds": client.hgetall(key("larry:holds")),
        "reserve": client.get(key("larry:reserve")),
        "counters": client.hgetall(key("larry:counters")),
        "barriers": {name: client.hgetall(key(f"larry:barrier:{name}")) for name in ("converge", "gate")},
        "samples": [],
    }


def sample(client: redis.Redis, prefix: str, plan: dict[str, Any]) -> dict[str, Any]:
    """A look at one moment of a run that goes on: what must hold at every moment, read in one transaction each."""

    def key(name: str) -> str:
        return prefix + name

    pipe = client.pipeline(transaction=True)
    pipe.hmget(key("larry:run"), "seq", "state")
    pipe.xlen(key("larry:log"))
    pipe.get(key("larry:reserve"))
    for larry in plan["larrys"]:
        pipe.get(key(f"phase:{larry}:status"))
        pipe.hmget(key(f"larry:tokens:{larry}"), "used", "held", "drawn")
        pipe.smembers(key(f"larry:running:{larry}"))
    (seq, state), length, reserve, *rest = pipe.execute()
    seen: dict[str, Any] = {
        "at": time.monotonic(),
        "seq": int(seq or 0),
        "state": state,
        "log": length,
        "reserve": int(reserve or 0),
        "phases": {},
        "tokens": {},
        "live": {},
    }
    running: list[str] = []
    for place, larry in enumerate(plan["larrys"]):
        status, book, tasks = rest[3 * place : 3 * place + 3]
        seen["phases"][larry] = status
        seen["tokens"][larry] = [int(value or 0) for value in book]
        running += sorted(tasks)
    pipe = client.pipeline(transaction=True)
    for task in running:
        pipe.hget(key(f"larry:task:{task}"), "state")
        pipe.hmget(key(f"larry:lease:task/{task}"), "token", "deadline")
        pipe.zscore(key("larry:timers"), f"lease:task/{task}")
    answers = pipe.execute() if running else []
    for place, task in enumerate(running):
        state, (token, deadline), timer = answers[3 * place : 3 * place + 3]
        seen["live"][task] = {"state": state, "token": token, "deadline": deadline, "timer": timer}
    return seen
