# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock that a test sets: the scripts read it in place of the server's, and keys expire by it.

The texts of the scripts are patched in the test's process. Time starts ten years ahead, so that nothing that the
scripts let expire goes by the real clock; `Clock.advance` deletes what is due, as the server would.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.cortex.larry.plugins.module_utils._coordination import session as session_module
from ansible_collections.cortex.larry.plugins.module_utils._coordination.lua.scripts import SCRIPTS

AHEAD_US = 10 * 365 * 86400 * 1_000_000
KEY = "test:clock"

# Relative expiries are counted from the test's clock; absolute ones come from it already.
_SHIM = (
    r"""
local real_call_ = redis.call
local now_us_ = tonumber(real_call_('GET', string.sub(KEYS[1], 1, -11) .. '"""
    + KEY
    + r"""'))
local function timed_call_(name, key, ...)
  if name == 'TIME' then
    local seconds = math.floor(now_us_ / 1000000)
    return {string.format('%.0f', seconds), string.format('%.0f', now_us_ - seconds * 1000000)}
  elseif name == 'PEXPIRE' then
    return real_call_('PEXPIREAT', key, string.format('%.0f', math.floor(now_us_ / 1000) + (...)))
  elseif name == 'PTTL' then
    local at = real_call_('PEXPIRETIME', key)
    return at < 0 and at or math.max(0, at - math.floor(now_us_ / 1000))
  end
  if key == nil then return real_call_(name) end
  return real_call_(name, key, ...)
end
"""
)

_SWEEP = r"""
local gone = 0
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local at = redis.call('PEXPIRETIME', key)
  if at >= 0 and at < tonumber(ARGV[2]) then gone = gone + redis.call('DEL', key) end
end
return gone
"""


def timed(text: str) -> str:
    """A script that reads the test's clock."""
    return _SHIM + text.replace("redis.call(", "timed_call_(")


@contextmanager
def timed_scripts() -> Iterator[None]:
    """Within it every script of this process, as it stands, reads the test's clock."""
    before = dict(SCRIPTS)
    SCRIPTS.update({name: timed(text) for name, text in before.items()})
    session_module._DIGESTS.clear()
    try:
        yield
    finally:
        SCRIPTS.update(before)
        session_module._DIGESTS.clear()


def load_scripts(plain: Any) -> None:
    """Loads the scripts of this process: a script that is unknown after a silence looks like an absence."""
    digests = {hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(): text for text in SCRIPTS.values()}
    for text, known in zip(digests.values(), plain.script_exists(*digests), strict=True):
        if not known:
            plain.script_load(text)


class Clock:
    """The clock of one prefix.

    Args:
        plain: a client of the server.
        prefix: of the keys.
    """

    def __init__(self, plain: Any, prefix: str) -> None:
        self.plain = plain
        self.prefix = prefix
        self._sweep = plain.register_script(_SWEEP)
        self.now_us = (int(time.time()) + 1) * 1_000_000 + AHEAD_US
        self.set(self.now_us)

    @property
    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return self.now_us // 1000

    def set(self, now_us: int) -> None:
        """Sets it, also back; what has expired by then is gone."""
        self.now_us = now_us
        self.plain.set(self.prefix + KEY, str(now_us))
        self._sweep(args=[self.prefix, now_us // 1000])

    def advance(self, milliseconds: float) -> None:
        """Lets time pass."""
        self.set(self.now_us + int(milliseconds * 1000))
