# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helm's release records: what Helm 3 stores in Secrets (or ConfigMaps) of a cluster."""

from __future__ import annotations

import base64
import binascii
import json
import typing as t
import zlib

from .errors import ItemRefused
from .objects import dig, mapping

SECRET_TYPE = "helm.sh/release.v1"
MAX_RELEASE_BYTES = 64 * 1024 * 1024


def is_release(manifest: t.Mapping[str, t.Any]) -> bool:
    """Whether *manifest* is a Secret or ConfigMap in which Helm keeps a release."""
    if manifest.get("apiVersion") != "v1":
        return False
    if manifest.get("kind") == "Secret":
        return manifest.get("type") == SECRET_TYPE
    labels = mapping(dig(manifest, "metadata", "labels"))
    return (
        manifest.get("kind") == "ConfigMap" and labels.get("owner") == "helm" and bool(dig(manifest, "data", "release"))
    )


def decode_release(manifest: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The release in *manifest* as Helm wrote it (name, namespace, version, info, chart, config, manifest, hooks).

    Raises ItemRefused with the reason when any layer (base64, gzip, JSON) is broken or unreasonably large.
    """
    raw = dig(manifest, "data", "release")
    if not isinstance(raw, str):
        raise ItemRefused("It has no data.release, so there is no release in it.")
    encoded = raw.encode("utf-8")
    if manifest.get("kind") == "Secret":
        # The API adds one layer of base64 to every Secret; Helm's own is below it.
        encoded = _base64(encoded, "data.release of the Secret")
    packed = _base64(encoded, "the release that Helm stored")
    if packed[:2] == b"\x1f\x8b":
        packed = _gunzip(packed)
    try:
        release = json.loads(packed)
    except RecursionError:
        raise ItemRefused("The release is nested too deeply.") from None
    except ValueError as error:
        raise ItemRefused(f"The release is not valid JSON: {str(error)[:120]}.") from None
    if not isinstance(release, dict) or not isinstance(release.get("name"), str) or not release["name"]:
        raise ItemRefused("The release has no name.")
    return release


def _base64(data: bytes, what: str) -> bytes:
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ItemRefused(f"{what[0].upper()}{what[1:]} is not valid base64.") from None


def _gunzip(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        unpacked = unpacker.decompress(data, MAX_RELEASE_BYTES)
    except zlib.error as error:
        raise ItemRefused(f"The release is not valid gzip: {error}.") from None
    if unpacker.unconsumed_tail:
        raise ItemRefused(f"The release unpacks to more than {MAX_RELEASE_BYTES} bytes.")
    if not unpacker.eof:
        raise ItemRefused("The release is not valid gzip: it ends too early.")
    return unpacked
