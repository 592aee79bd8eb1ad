# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed errors of the estate. Every message is a sentence that a user can act on."""

from __future__ import annotations


class EstateError(Exception):
    """Base of every error that reading or describing an estate raises."""


class SourceNotAvailable(EstateError):
    """The source that was asked for is not there; `provide` says how to have one."""

    def __init__(self, missing: str, provide: str) -> None:
        super().__init__(missing)
        self.missing = missing
        self.provide = provide


class LibraryMissing(EstateError):
    """A library that the source needs cannot be imported.

    `library` is its name on the package index and `cause` the ImportError.
    """

    def __init__(self, library: str, cause: ImportError | None) -> None:
        super().__init__(f"The Python library {library} is needed to read the estate and cannot be imported: {cause}.")
        self.library = library
        self.cause = cause


class ItemRefused(EstateError):
    """One file, document or object cannot be used; it costs that item alone."""


class EvidenceError(EstateError):
    """An evidence file is missing, lies outside the coordination directory or is not the one that was promised."""
