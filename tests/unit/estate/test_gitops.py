# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GitOps source against a plain second reading of the same files, and against hostile trees."""

from __future__ import annotations

import collections
import json
import os
import pathlib

import pytest
import yaml

from ansible_collections.cortex.larry.plugins.module_utils import _estate
from ansible_collections.cortex.larry.plugins.module_utils._estate import gitops
from ansible_collections.cortex.larry.plugins.module_utils._estate.errors import ItemRefused

BUNDLED = pathlib.Path(__file__).parents[3] / "examples" / "estate"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: shop}\n"


def read(path: pathlib.Path) -> tuple[list[_estate.EstateObject], list[_estate.Refused]]:
    things = list(_estate.open_source({"source": "gitops", "path": str(path)}).objects())
    objects = [thing for thing in things if isinstance(thing, _estate.EstateObject)]
    return objects, [thing for thing in things if isinstance(thing, _estate.Refused)]


def plainly(root: pathlib.Path) -> collections.Counter:
    """Count (kind, namespace, name) the simple way, without any of our code."""
    found: collections.Counter = collections.Counter()
    for path in root.rglob("*"):
        if path.suffix == ".json":
            documents = [json.loads(path.read_text())]
        elif path.suffix in (".yaml", ".yml"):
            documents = list(yaml.safe_load_all(path.read_text()))
        else:
            continue
        for document in documents:
            members = document["items"] if document["kind"].endswith("List") else [document]
            for member in members:
                if document["kind"] == "Kustomization":
                    continue
                kind = member.get("kind") or document["kind"].removesuffix("List")
                found[(kind, member["metadata"].get("namespace", ""), member["metadata"]["name"])] += 1
    return found


def test_the_bundled_estate_is_read_object_by_object() -> None:
    objects, refused = read(BUNDLED)
    assert collections.Counter((o.identity.kind, o.identity.namespace, o.identity.name) for o in objects) == plainly(
        BUNDLED
    )
    assert [thing for thing in refused if thing.broken] == []
    assert len(objects) >= 150
    assert {o.identity.namespace for o in objects} == {
        "",
        *("database", "monitoring", "n8n", "ingress", "ai-agents", "redis-ha", "storage", "kube-system"),
    }


def test_the_order_is_the_same_every_time() -> None:
    first, second = (read(BUNDLED)[0] for _turn in range(2))
    assert [(o.identity, o.origin) for o in first] == [(o.identity, o.origin) for o in second]


def test_a_broken_document_costs_itself_alone(tmp_path: pathlib.Path) -> None:
    text = POD % "first" + "---\na: [unclosed\n---\n" + POD % "second"
    text += "--- # a comment\n# nothing\n---\n" + POD % "third"
    (tmp_path / "mixed.yaml").write_text(text)
    objects, refused = read(tmp_path)
    assert [o.identity.name for o in objects] == ["first", "second", "third"]
    assert [o.origin.document for o in objects] == [0, 2, 3]
    assert len(refused) == 1 and "not valid YAML in line 6" in refused[0].reason
    assert refused[0].origin.document == 1


def test_documents_are_split_as_yaml_splits_them(tmp_path: pathlib.Path) -> None:
    text = (
        "%YAML 1.1\n---\n" + POD % "a" + "...\n" + POD % "b" + "--- {apiVersion: v1, kind: Pod, metadata: {name: c}}\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\ndata:\n  text: |\n    x\n    ---\n    y\n"
    )
    (tmp_path / "a.yaml").write_text(text)
    expected = [document["metadata"]["name"] for document in yaml.safe_load_all(text.replace("...\n", "...\n---\n"))]
    assert [o.identity.name for o in read(tmp_path)[0]] == expected == ["a", "b", "c", "d"]
    assert read(tmp_path)[0][3].manifest["data"]["text"] == "x\n---\ny\n"


def test_lists_of_every_form_are_expanded(tmp_path: pathlib.Path) -> None:
    (tmp_path / "list.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}, "no object"]})
    )
    (tmp_path / "list.yaml").write_text(
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: n}}\n- {kind: Node}\n"
    )
    objects, refused = read(tmp_path)
    assert [(o.identity.kind, o.identity.name, o.origin.item) for o in objects] == [("Pod", "a", 0), ("Node", "n", 0)]
    assert [thing.origin.item for thing in refused] == [1, 1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("apiVersion: v1\nkind: Pod\n", "no metadata"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: 123}\n", "not a text|is a text"),
        ("apiVersion: 1\nkind: Pod\nmetadata: {name: a}\n", "no apiVersion"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: [x]}\n", "namespace that is not a text"),
        (f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {'a' * 300}}}\n", "longer than 253"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: !!python/object/apply:os.system [ls]\n", "valid YAML"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: !!binary aGk=\n", "type bytes"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: .nan\n", "not finite"),
        ("apiVersion: v1\nkind: Pod\nmetadata: &m {name: a, self: *m}\n", "alias to itself"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {? [x] : y}\n", "not a text|unhashable|not valid"),
    ],
)
def test_what_is_no_object_is_refused_with_its_reason(tmp_path: pathlib.Path, text: str, reason: str) -> None:
    (tmp_path / "one.yaml").write_text(text)
    (tmp_path / "two.yaml").write_text(POD % "fine")
    objects, refused = read(tmp_path)
    assert [o.identity.name for o in objects] == ["fine"]
    assert len(refused) == 1 and refused[0].broken
    assert any(part in refused[0].reason for part in reason.split("|")), refused[0].reason


def test_times_and_equals_signs_stay_texts() -> None:
    assert gitops.parse_yaml("{a: 2026-11-21T07:40:01Z, b: 2026-11-21, c: =, d: 1.5, e: yes}") == {
        "a": "2026-11-21T07:40:01Z",
        "b": "2026-11-21",
        "c": "=",
        "d": 1.5,
        "e": True,
    }


def bomb(merge: bool) -> str:
    lines = ["a0: &a0 {x: y}" if merge else "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 10):
        members = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {{'<<': [{members}]}}" if merge else f"a{level}: &a{level} [{members}]")
    return "\n".join(lines).replace("'<<'", "<<") + "\n"


@pytest.mark.parametrize("merge", [False, True])
def test_alias_bombs_are_refused_before_they_unfold(merge: bool) -> None:
    with pytest.raises(ItemRefused, match="unfold to more than"):
        gitops.parse_yaml(bomb(merge))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "a: " + "{a: " * 100_000,
        "- " * 100_000 + "x",
        "\n".join(" " * level + "a:" for level in range(3000)),
        "[" * 500 + "]" * 500,
    ],
)
def test_deep_nesting_is_refused_and_does_not_break_the_parser(text: str) -> None:
    with pytest.raises(ItemRefused):
        from ansible_collections.cortex.larry.plugins.module_utils._estate.objects import plain

        plain(gitops.parse_yaml(text))


def test_hostile_files_cost_themselves_alone(tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.yaml").write_text(POD % "secret")
    root = tmp_path / "estate"
    (root / ".git").mkdir(parents=True)
    (root / ".git" / "config.yaml").write_text(POD % "git")
    (root / "binary.yaml").write_bytes(bytes(range(256)) * 64)
    (root / "latin.yaml").write_bytes("apiVersion: v1\nkind: Pod\nmetadata: {name: ü}\n".encode("latin-1"))
    (root / "deep.json").write_text("[" * 200_000)
    (root / "broken.json").write_text('{"apiVersion": "v1",')
    (root / "link.yaml").symlink_to(outside / "secret.yaml")
    (root / "directory").symlink_to(outside, target_is_directory=True)
    (root / "inside.yaml").symlink_to(root / "fine.yaml")
    (root / "fine.yaml").write_text(POD % "fine")
    (root / "values.yaml").write_text("replicas: 2\n")
    (root / "empty.yaml").write_text("# nothing\n---\n")
    os.mkfifo(root / "pipe.yaml")
    (root / "chart" / "templates").mkdir(parents=True)
    (root / "chart" / "Chart.yaml").write_text("apiVersion: v2\nname: c\nversion: 1.0.0\n")
    (root / "chart" / "templates" / "pod.yaml").write_text("{{ template }}\n")
    with open(os.path.join(os.fsencode(root), b"odd\xff\n.yaml"), "w") as stream:
        stream.write(POD % "odd")
    objects, refused = read(root)
    assert sorted(o.identity.name for o in objects) == ["fine", "odd"]
    assert next(o for o in objects if o.identity.name == "odd").origin.path == "odd\\xff\\x0a.yaml"
    broken = {thing.origin.path: thing.reason for thing in refused if thing.broken}
    assert sorted(broken) == [
        "binary.yaml",
        "broken.json",
        "deep.json",
        "directory",
        "latin.yaml",
        "link.yaml",
        "pipe.yaml",
    ]
    assert "leads out" in broken["link.yaml"] and "leads out" in broken["directory"]
    assert "regular file" in broken["pipe.yaml"]
    beside = {thing.origin.path for thing in refused if not thing.broken}
    assert beside == {"values.yaml", "chart/Chart.yaml", "chart/templates/pod.yaml"}


def test_sizes_are_bounded(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gitops, "MAX_DOCUMENT_BYTES", 2000)
    large = POD % "large" + "# " + "x" * 3000 + "\n"
    (tmp_path / "a.yaml").write_text("---\n".join([POD % "small", large, POD % "next"]))
    (tmp_path / "b.json").write_text(json.dumps({"a": "x" * 3000}))
    objects, refused = read(tmp_path)
    assert [o.identity.name for o in objects] == ["small", "next"]
    assert len(refused) == 2
    monkeypatch.setattr(gitops, "MAX_FILE_BYTES", 100)
    assert all("not read" in thing.reason for thing in read(tmp_path)[1])


def test_unreadable_directories_are_said(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    real = os.open

    def refuse(path: object, *arguments: object, **named: object) -> int:
        # Permissions do not stop root, who may run the tests.
        if path == "closed":
            raise PermissionError(13, "Permission denied", "closed")
        return real(path, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    assert [str(thing.origin) for thing in read(tmp_path)[1]] == ["closed"]


def test_other_sources() -> None:
    with pytest.raises(_estate.SourceNotAvailable, match="live cluster source is not there yet"):
        _estate.open_source({"source": "kubernetes"})
    with pytest.raises(_estate.SourceNotAvailable, match="not a directory"):
        _estate.open_source({"path": "/nowhere/at/all"})
    with pytest.raises(_estate.EstateError, match="unknown"):
        _estate.open_source({"source": "ftp"})
    with pytest.raises(_estate.EstateError, match="needs a path"):
        _estate.open_source({})


def test_without_pyyaml_it_says_what_to_install(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gitops, "yaml", None)
    with pytest.raises(_estate.LibraryMissing, match="PyYAML"):
        _estate.open_source({"path": str(tmp_path)})


def test_memory_does_not_grow_with_the_number_of_objects(tmp_path: pathlib.Path) -> None:
    import tracemalloc

    def peak(count: int) -> int:
        path = tmp_path / f"{count}"
        path.mkdir()
        (path / "all.yaml").write_text("---\n".join(POD % f"pod-{number}" for number in range(count)))
        tracemalloc.start()
        assert sum(1 for _thing in _estate.open_source({"path": str(path)}).objects()) == count
        _now, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(2000) < 2 * peak(100) + 200_000
