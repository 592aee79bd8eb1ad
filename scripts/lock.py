# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pin every dependency anew: each requirements/NAME.in of an environment becomes requirements/NAME.txt with hashes.

`make lock` updates everything; `make lock ARGS="--upgrade-package rich"` updates one package and keeps the rest.
"""

from __future__ import annotations

import subprocess
import sys

from bootstrap import ENVIRONMENTS, ROOT


def main(arguments: list[str]) -> int:
    """Run uv, which is itself pinned among the test tools, on every input file."""
    upgrade = arguments or ["--upgrade"]
    for environment in ENVIRONMENTS.values():
        source = environment.lock.removesuffix(".txt") + ".in"
        print(f"{source} -> {environment.lock}", flush=True)
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-emit-index-url"]
        command += ["--python-version", environment.pythons[0], "--custom-compile-command", "make lock"]
        command += [*upgrade, "--output-file", environment.lock, source]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code:
            print(f"lock: {source} could not be resolved; {environment.lock} is as it was.", file=sys.stderr)
            return code
    print("Now run `make test`: the environments are made again from the new locks.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
