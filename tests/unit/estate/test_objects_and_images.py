# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identities, image references and redaction."""

from __future__ import annotations

import pytest

from ansible_collections.cortex.larry.plugins.module_utils._estate.images import parse_image
from ansible_collections.cortex.larry.plugins.module_utils._estate.objects import Identity, secret_texts
from ansible_collections.cortex.larry.plugins.module_utils._estate.redaction import REDACTED, looks_secret, redact

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("reference", "registry", "repository", "tag", "digest", "pin"),
    [
        ("nginx", "docker.io", "library/nginx", None, None, "floating"),
        ("postgres:16", "docker.io", "library/postgres", "16", None, "version"),
        ("n8nio/n8n:latest", "docker.io", "n8nio/n8n", "latest", None, "floating"),
        ("ghcr.io/a/b/c:1.2.3", "ghcr.io", "a/b/c", "1.2.3", None, "version"),
        ("localhost/a:1", "localhost", "a", "1", None, "version"),
        ("registry:5000/a", "registry:5000", "a", None, None, "floating"),
        (f"quay.io/a/b:1@{DIGEST}", "quay.io", "a/b", "1", DIGEST, "digest"),
        (f"index.docker.io/a/b@{DIGEST}", "docker.io", "a/b", None, DIGEST, "digest"),
    ],
)
def test_image_references(
    reference: str, registry: str, repository: str, tag: str | None, digest: str | None, pin: str
) -> None:
    image = parse_image(reference)
    assert image[1:6] == (registry, repository, tag, digest, pin)
    assert image.valid and image.pinned == (pin != "floating")


@pytest.mark.parametrize("reference", ["", "a b", "{{ image }}", "a:b:c", "x" * 5000, '"><script>', "a@sha256:zz"])
def test_what_is_no_image_is_kept_and_marked(reference: str) -> None:
    image = parse_image(reference)
    assert not image.valid and not image.pinned and len(image.reference) <= 1024


def test_identities_cannot_be_mistaken_for_each_other() -> None:
    one, other = Identity("v1", "Pod", "a", "b/c"), Identity("v1", "Pod", "a/b", "c")
    assert one.id != other.id
    assert Identity("v1", "Node", "", "n").id == "v1/Node/-/n"
    assert Identity("apps/v1", "Deployment", "a", "b").group == "apps"


@pytest.mark.parametrize(
    "name",
    ["password", "adminPassword", "POSTGRES_PASSWORD", "api_key", "apiKey", "secret-key", "token", "tls.key", "dsn"],
)
def test_names_that_look_secret(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["replicas", "image", "host", "size", "username", "description"])
def test_names_that_do_not(name: str) -> None:
    assert not looks_secret(name)


def test_redaction_goes_everywhere() -> None:
    planted = "planted-value-4711"
    redacted = redact(
        {
            "auth": {"password": planted, "enabled": True, "empty": ""},
            "secrets": {"nested": [{"deep": planted}, 12345678]},
            "extraEnv": [{"name": "DB_PASSWORD", "value": "only-in-the-environment"}, {"name": "TZ", "value": "UTC"}],
            "url": "postgresql://user:hidden-in-url@db/app",
            "conf": "port 1\nrequirepass hidden-in-conf\ntoken = 'hidden in quotes'\n",
            "elsewhere": f"the value {planted} again",
            "list": ["ghp_" + "a" * 36, "-----BEGIN RSA PRIVATE KEY-----\nhidden-pem\n-----END RSA PRIVATE KEY-----"],
            f"key {planted}": 12345678,
            "size": "8Gi",
        }
    )
    text = repr(redacted)
    for hidden in (planted, "only-in", "hidden-in", "hidden in", "ghp_", "hidden-pem", "12345678"):
        assert hidden not in text, hidden
    assert redacted["size"] == "8Gi" and redacted["extraEnv"][1] == {"name": "TZ", "value": "UTC"}
    assert redacted["auth"] == {"password": REDACTED, "enabled": True, "empty": ""}


def test_texts_of_secrets() -> None:
    assert secret_texts({"data": {"a": "aGk=", "b": "/w==", "c": 5}, "stringData": {"d": "plain"}}) == {
        "a": "hi",
        "d": "plain",
    }
