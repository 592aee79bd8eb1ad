# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python enqueue.py MODULE COUNT`: enqueues no-op tasks by that queue's own means and prints how long it took."""

from __future__ import annotations

import importlib
import sys
import time

queue = importlib.import_module(sys.argv[1])
began = time.perf_counter()
queue.enqueue(int(sys.argv[2]))
print(time.perf_counter() - began)
