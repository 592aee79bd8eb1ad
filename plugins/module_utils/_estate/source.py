# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one interface of every estate source, and the function that opens one."""

from __future__ import annotations

import typing as t

from .errors import EstateError, SourceNotAvailable
from .objects import EstateObject, Refused


class Source(t.Protocol):
    """What a source of estate objects offers, wherever they come from."""

    def objects(self) -> t.Iterator[EstateObject | Refused]:
        """Yield every object in a stable order, one at a time; what cannot be used is yielded as `Refused`."""

    def describe(self) -> dict[str, t.Any]:
        """Say what the source is; JSON types, no secrets, the same for the same source."""


def open_source(options: t.Mapping[str, t.Any]) -> Source:
    """Open the estate that *options* describe.

    Options:
        source: `gitops` (default), a directory of Kubernetes objects; `kubernetes`, a live cluster.
        path: the directory, for `gitops`; required there.

    Raises SourceNotAvailable when the source cannot be had, EstateError for an unknown one,
    LibraryMissing when PyYAML is not there.
    """
    name = str(options.get("source") or "gitops")
    if name == "gitops":
        from .gitops import GitOpsSource

        path = options.get("path")
        if not path:
            raise EstateError("The estate source 'gitops' needs a path; set it to the directory with the objects.")
        return GitOpsSource(str(path))
    if name == "kubernetes":
        raise SourceNotAvailable(
            "The live cluster source is not there yet in this release.",
            "Use the source 'gitops' with a directory of the cluster's objects.",
        )
    raise EstateError(f"The estate source '{name}' is unknown; choose 'gitops' or 'kubernetes'.")
