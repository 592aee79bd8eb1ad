# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container image references taken apart, in the words of the OCI distribution specification."""

from __future__ import annotations

import re
import typing as t

DEFAULT_REGISTRY = "docker.io"
# Tags that are moved from release to release by convention, so that they name no fixed content.
FLOATING_TAGS = frozenset(
    {"latest", "stable", "edge", "main", "master", "develop", "dev", "nightly", "canary", "next", "rolling"}
)
_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._:/-]*?)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z0-9_+.-]+:[A-Fa-f0-9]{32,}))?"
)


class Image(t.NamedTuple):
    """One image reference. `pin` is `digest`, `version` or `floating`; `valid` is false for what is no reference."""

    reference: str
    registry: str
    repository: str
    tag: str | None
    digest: str | None
    pin: str
    valid: bool = True

    @property
    def pinned(self) -> bool:
        """Whether the reference names a fixed version or digest rather than whatever is newest."""
        return self.pin != "floating"

    def as_dict(self) -> dict[str, t.Any]:
        """JSON types."""
        return {**self._asdict(), "pinned": self.pinned}


def parse_image(reference: str) -> Image:
    """Take *reference* apart; the registry and `library/` that Docker leaves out are filled in.

    Never raises: what is no reference comes back whole as the repository, with `valid` false.
    """
    text = reference.strip()
    match = _REFERENCE.fullmatch(text) if len(text) <= 1024 else None
    if match is None:
        return Image(text[:1024], "", text[:1024], None, None, "floating", False)
    name, tag, digest = match.group("name", "tag", "digest")
    first, slash, rest = name.partition("/")
    # By Docker's rule only a dot, a port or localhost tells a registry from a user's name.
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, repository = first, rest
    else:
        registry, repository = DEFAULT_REGISTRY, name if slash else f"library/{name}"
    if registry == "index.docker.io":
        registry = DEFAULT_REGISTRY
    if ":" in repository or not repository:
        return Image(text, "", text, None, None, "floating", False)
    pin = "digest" if digest else "floating" if (tag or "latest").lower() in FLOATING_TAGS else "version"
    return Image(text, registry, repository, tag, digest, pin)
