# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks and barriers in playbooks that know no plan: several controllers around one name."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TTL_S = 2

LOCK = """
- name: Do what only one may do
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: With the lock
      block:
        - name: Take the lock
          cortex.larry.lock:
            name: schema
            redis: unix://{socket}
            wait: 60
            ttl: {ttl}

        - name: Enter
          ansible.builtin.command: sh -c 'echo "in {name} $(date +%s.%N)" >> {witness}'

        - name: Work for longer than the lock lives without renewal
          ansible.builtin.command: sleep {seconds}

        - name: Leave
          ansible.builtin.command: sh -c 'echo "out {name} $(date +%s.%N)" >> {witness}'
      always:
        - name: Give the lock up
          cortex.larry.lock:
            name: schema
            redis: unix://{socket}
            state: released
"""

BARRIER = """
- name: Meet
  hosts: all
  connection: local
  strategy: free
  gather_facts: false
  tasks:
    - name: Wait until all five are here
      cortex.larry.barrier:
        name: regions
        count: 5
        timeout: 60
        redis: unix://{socket}
      register: met

    - name: Say when
      ansible.builtin.command: sh -c 'echo "{{{{ inventory_hostname }}}} $(date +%s.%N)" >> {witness}'
"""


@pytest.fixture
def bench(make_bench: Callable[..., Any]) -> Any:
    made = make_bench(None, configured=False)
    made.variables["ANSIBLE_COLLECTIONS_PATH"] = str(Path(__file__).resolve().parents[3] / "playbooks" / "collections")
    return made


def start_lock(bench: Any, name: str, seconds: float, ttl: int = TTL_S) -> Any:
    path = bench.directory / f"{name}.yml"
    witness = bench.work / "witness"
    path.write_text(LOCK.format(name=name, socket=bench.socket, ttl=ttl, seconds=seconds, witness=witness))
    return bench.start("ansible-playbook", path, name=name)


def intervals(bench: Any) -> list[tuple[str, float, float]]:
    """(name, in, out) of each block that was left in order, by the time of entering."""
    entered = {words[1]: float(words[2]) for words in bench.witness() if words[0] == "in"}
    left = {words[1]: float(words[2]) for words in bench.witness() if words[0] == "out"}
    return sorted(((name, entered[name], left[name]) for name in left), key=lambda one: one[1])


def test_lock_longer_than_ttl(bench: Any) -> None:
    """Three playbooks around one lock never overlap, though each block lasts twice its TTL."""
    processes = [start_lock(bench, name, TTL_S * 2) for name in ("one", "two", "three")]
    assert bench.all_end(processes, 90) == [0, 0, 0], "\n".join(process.tail for process in processes)
    seen = intervals(bench)
    assert len(seen) == 3
    for (_name, _entered, left), (_other, entered, _left) in itertools.pairwise(seen):
        assert left <= entered, seen
    with bench.client as client:
        assert client.get("lock:schema") is None
    bench.nothing_left()


def test_lock_of_a_killed_playbook(bench: Any) -> None:
    """kill -9 of the holder: what it left is ended, then the next one enters; no overlap."""
    first = start_lock(bench, "killed", 30, ttl=15)
    bench.wait(bench.witness, "the first to enter")
    second = start_lock(bench, "next", 0.5, ttl=15)
    with bench.client as client:
        assert client.get("lock:schema")
        assert client.pttl("lock:schema") > 0
    bench.wait(lambda: "Take the lock" in second.output, "the second to ask")
    bench.wait(lambda: "sleep 30" in bench.left_processes().values(), "the block's command", 20)
    first.signal(signal.SIGKILL)
    assert second.wait(40) == 0, second.tail
    assert [words[:2] for words in bench.witness()] == [["in", "killed"], ["in", "next"], ["out", "next"]]
    assert "sleep 30" not in bench.left_processes().values(), "the killed block's command goes on beside the next one"
    bench.nothing_left()


def test_lock_of_a_dead_machine(bench: Any) -> None:
    """Holder and keeper gone at once, as with a machine: free after the TTL, not before, and within TTL + 1 s."""
    first = start_lock(bench, "dead", 30, ttl=6)
    bench.wait(lambda: "sleep 30" in bench.left_processes().values(), "the block's command", 40)
    second = start_lock(bench, "next", 0.1, ttl=6)
    bench.wait(lambda: "Take the lock" in second.output, "the second to ask")
    for pid, command in bench.left_processes().items():
        if "larry-keeper" in command:
            os.kill(pid, signal.SIGKILL)
    with bench.client as client:
        left_ms = client.pttl("lock:schema")
        seconds, microseconds = client.time()
    os.killpg(first.pid, signal.SIGKILL)
    assert second.wait(40) == 0, second.tail
    entered = next(float(words[2]) for words in bench.witness() if words[:2] == ["in", "next"])
    deadline = seconds + microseconds / 1e6 + left_ms / 1000
    assert deadline - 0.05 <= entered, "entered before the deadline"
    with bench.client as client:
        log = [entry["m"] for _id, entry in client.xrange("larry:standalone:log")]
    assert any('"lease_lapsed"' in text for text in log), log
    for pid, command in bench.left_processes().items():
        if command == "sleep 30":  # nobody was left to end it
            os.kill(pid, signal.SIGKILL)


def test_barrier_of_five_hosts(bench: Any) -> None:
    """Five hosts of three controllers leave together: nobody before the last has arrived."""
    path = bench.directory / "meet.yml"
    path.write_text(BARRIER.format(socket=bench.socket, witness=bench.work / "witness"))
    python = ["-e", f"ansible_python_interpreter={sys.executable}"]
    early = [
        bench.start("ansible-playbook", path, "-i", "a,b,", *python, name="first"),
        bench.start("ansible-playbook", path, "-i", "c,d,", *python, name="second"),
    ]
    with bench.client as client:
        bench.wait(lambda: client.hlen("larry:arrived:regions") == 4, "four arrivals", 60)
    assert bench.witness() == [], "somebody left before all were there"
    late = bench.start("ansible-playbook", path, "-i", "e,", *python, name="third")
    assert bench.all_end([*early, late], 60) == [0, 0, 0], late.tail
    assert sorted(words[0] for words in bench.witness()) == ["a", "b", "c", "d", "e"]
    with bench.client as client:
        log = [entry["m"] for _id, entry in client.xrange("larry:standalone:log")]
    assert sum('"barrier_open"' in text for text in log) == 1
    bench.nothing_left()
