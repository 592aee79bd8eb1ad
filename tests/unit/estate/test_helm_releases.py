# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release records decoded against the standard library, and broken ones."""

from __future__ import annotations

import base64
import gzip
import json
import pathlib

import pytest
import yaml

from ansible_collections.cortex.larry.plugins.module_utils._estate import helm_releases
from ansible_collections.cortex.larry.plugins.module_utils._estate.errors import ItemRefused

BUNDLED = pathlib.Path(__file__).parents[3] / "examples" / "estate"


def stored(data: bytes) -> dict:
    encoded = base64.b64encode(base64.b64encode(data)).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {"name": "sh.helm.release.v1.a.v1"},
        "data": {"release": encoded},
    }


def test_bundled_releases_decode_as_the_standard_library_decodes_them() -> None:
    seen = 0
    for path in BUNDLED.rglob("helm-releases.yaml"):
        for secret in yaml.safe_load_all(path.read_text()):
            expected = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
            assert helm_releases.is_release(secret)
            assert helm_releases.decode_release(secret) == expected
            seen += 1
    assert seen >= 10


def test_uncompressed_and_config_map_records() -> None:
    release = {"name": "a", "version": 1}
    assert helm_releases.decode_release(stored(json.dumps(release).encode())) == release
    record = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a.v1", "labels": {"owner": "helm"}},
        "data": {"release": base64.b64encode(gzip.compress(json.dumps(release).encode())).decode()},
    }
    assert helm_releases.is_release(record)
    assert helm_releases.decode_release(record) == release


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (stored(gzip.compress(b'{"name": "a"}')[:-9]), "ends too early"),
        (stored(b"\x1f\x8b" + b"garbage" * 5), "not valid gzip"),
        (stored(gzip.compress(b"no json")), "not valid JSON"),
        (stored(gzip.compress(b'["a"]')), "no name"),
        (stored(gzip.compress(b"[" * 200_000)), "nested too deeply|not valid JSON"),
        ({**stored(b""), "data": {"release": "%%%"}}, "not valid base64"),
        ({**stored(b""), "data": {"release": base64.b64encode(b"%%%").decode()}}, "not valid base64"),
        ({**stored(b""), "data": None}, "no data.release"),
        ({**stored(b""), "data": {"release": "ü"}}, "not valid base64"),
    ],
)
def test_broken_records_are_refused(secret: dict, reason: str) -> None:
    with pytest.raises(ItemRefused, match=reason):
        helm_releases.decode_release(secret)


def test_a_compressed_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm_releases, "MAX_RELEASE_BYTES", 1_000_000)
    with pytest.raises(ItemRefused, match="unpacks to more"):
        helm_releases.decode_release(stored(gzip.compress(b" " * 50_000_000)))
