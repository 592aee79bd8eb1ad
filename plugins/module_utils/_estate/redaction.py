# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may not be shown: values under names that look secret, and credentials inside texts."""

from __future__ import annotations

import re
import typing as t

REDACTED = "**redacted**"
MAX_TEXT = 2048
# Shorter texts would also hit ordinary words ("db", "app", "true") wherever else they stand.
MIN_SECRET = 6

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|pass(word|wd|phrase)|pwd|secret|token|credential|api[_.-]?key|private|salt|"
    r"(access|encryption|signing|master|license|licence|account|storage|ssh|tls|service)[_.-]?key|key$|"
    r"^auth$|_auth$|authorization|bearer|cookie|dsn|connection[_.-]?(string|uri|url)|htpasswd|certificate|pem$|kubeconfig",
    re.IGNORECASE,
)
# Every repetition is bounded or starts at a fixed text: estates choose what these run over.
_URL_USER = re.compile(r"(://)[^/\s\"']{1,1024}@")
_ASSIGNMENT = re.compile(
    r"(?i)((?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|requirepass|masterauth|bearer|pwd)"
    r"[\w.-]{0,64}[\"']?(?:\s{0,8}[:=]\s{0,8}|\s{1,8}))(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;}&]+)"
)
_TOKENS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bxox[abprs]-[\w-]{10,}|\bsk-[A-Za-z0-9_-]{16,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
    re.DOTALL,
)


def looks_secret(name: str) -> bool:
    """Whether a field called *name* is expected to hold a secret."""
    return bool(_SECRET_NAME.search(name))


def redact_text(text: str, known: t.Collection[str] = (), limit: int = MAX_TEXT) -> str:
    """*text* without credentials in URLs, assignments to secret names, tokens of known shapes and the texts *known*.

    Cut to *limit* characters, saying how long it was.
    """
    for secret in known:
        text = text.replace(secret, REDACTED)
    text = shorten(text, limit)
    text = _TOKENS.sub(REDACTED, text)
    text = _URL_USER.sub(rf"\1{REDACTED}@", text)
    return _ASSIGNMENT.sub(rf"\1{REDACTED}", text)


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """*text* cut to *limit* characters, saying how long it was."""
    return text if len(text) <= limit else f"{text[:200]}... ({len(text)} characters, shortened)"


def secret_texts_of(value: t.Any) -> set[str]:
    """Every text or number that stands anywhere below a name that looks secret; short ones are left out."""
    found: set[str] = set()
    _collect(value, False, found)
    return found


def _collect(value: t.Any, secret: bool, found: set[str]) -> None:
    if isinstance(value, dict):
        named = _names_a_secret(value)
        for name, held in value.items():
            _collect(held, secret or looks_secret(str(name)) or (named and name == "value"), found)
    elif isinstance(value, list):
        for held in value:
            _collect(held, secret, found)
    elif secret and isinstance(value, (str, int, float)) and len(str(value)) >= MIN_SECRET:
        found.add(str(value))


def redact(value: t.Any, known: t.Collection[str] | None = None) -> t.Any:
    """A copy of *value* in which nothing secret is left; empty texts, booleans and nulls stay, they hide nothing.

    A text found under a secret name is replaced wherever else it stands.
    """
    if known is None:
        # Longest first, so that a secret inside another does not leave the rest of the longer one.
        known = sorted(secret_texts_of(value), key=lambda text: (-len(text), text))
    if isinstance(value, dict):
        named = _names_a_secret(value)
        return {
            redact_text(str(name), known): _blot(held)
            if looks_secret(str(name)) or (named and name == "value")
            else redact(held, known)
            for name, held in value.items()
        }
    if isinstance(value, list):
        return [redact(held, known) for held in value]
    if isinstance(value, str):
        return redact_text(value, known)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and str(value) in known:
        return REDACTED
    return value


def _names_a_secret(value: dict[t.Any, t.Any]) -> bool:
    """Whether this is an entry like `{name: DB_PASSWORD, value: ...}` of a container's environment."""
    return isinstance(value.get("name"), str) and looks_secret(value["name"])


def _blot(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {str(name): _blot(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_blot(held) for held in value]
    return value if value is None or isinstance(value, bool) or value == "" else REDACTED
