# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GitOps source: a directory of Kubernetes objects in YAML and JSON files.

Everything in it is hostile. Nothing is executed, no link is followed, sizes are bounded, and whatever is
broken costs that file, document or object alone.
"""

from __future__ import annotations

import functools
import json
import os
import re
import stat
import typing as t

from .errors import ItemRefused, LibraryMissing, SourceNotAvailable
from .objects import TOOL_GROUPS, EstateObject, Origin, Refused, expand, identify, plain

try:
    import yaml
except ImportError as error:
    yaml = None  # type: ignore[assignment]
    YAML_ERROR: ImportError | None = error
else:
    YAML_ERROR = None

MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_DOCUMENT_BYTES = 32 * 1024 * 1024
MAX_NODES = 2_000_000
MAX_PARSER_DEPTH = 200
IGNORED_DIRECTORIES = frozenset({".git"})
SUFFIXES = (".yaml", ".yml", ".json")

# At the start of a line these mark documents everywhere, even inside a block of text, by the YAML specification.
_MARKER = re.compile(rb"(---|\.\.\.)(?=[ \t\r\n]|$)")
# Only text with so many brackets or such an indentation can be nested deeply enough to matter to the parser.
_MANY_BRACKETS = 1000
_DEEP_INDENT = re.compile(r"^[ \t?-]{256,}", re.MULTILINE)


class GitOpsSource:
    """Objects below one directory, in the order of their paths, documents and list items.

    Raises SourceNotAvailable when there is no such directory and LibraryMissing without PyYAML.
    """

    def __init__(self, path: str) -> None:
        if yaml is None:
            raise LibraryMissing("PyYAML", YAML_ERROR)
        if not os.path.isdir(path):
            raise SourceNotAvailable(
                f"The estate {path} is not a directory.",
                "Set estate_path to a directory that holds Kubernetes objects in YAML or JSON files.",
            )
        self.path = os.path.realpath(path)

    def describe(self) -> dict[str, t.Any]:
        """The kind of source alone: where it lies differs from host to host and says nothing about it."""
        return {"source": "gitops"}

    def objects(self) -> t.Iterator[EstateObject | Refused]:
        """Yield every object and every refusal. Holds one document at a time."""
        unreadable: list[OSError] = []
        for directory, names, files, descriptor in os.fwalk(
            self.path, follow_symlinks=False, onerror=unreadable.append
        ):
            relative = os.path.relpath(directory, self.path)
            # fwalk lists links to directories among the directories and does not enter them.
            entries = sorted([*files, *(name for name in names if _is_link(name, descriptor))])
            names[:] = sorted(name for name in names if name not in IGNORED_DIRECTORIES)
            for name in entries:
                shown = _shown(name if relative == "." else os.path.join(relative, name))
                yield from self._entry(directory, name, descriptor, shown)
        for error in unreadable:
            # fwalk opens relative to a descriptor, so that the error carries the last part of the path alone.
            yield Refused(Origin(_shown(str(error.filename))), f"The directory cannot be read: {error.strerror}.")

    def _entry(self, directory: str, name: str, descriptor: int, shown: str) -> t.Iterator[EstateObject | Refused]:
        if _is_link(name, descriptor):
            target = os.path.realpath(os.path.join(directory, name))
            if target != self.path and not target.startswith(self.path + os.sep):
                yield Refused(Origin(shown), "It is a symbolic link that leads out of the estate; it is not followed.")
            # A link to a place inside is not followed either: what it points to is read where it lies.
            return
        if not name.lower().endswith(SUFFIXES):
            return
        if _in_chart_templates(directory, self.path):
            yield Refused(Origin(shown), "It is a template of a Helm chart, which is not rendered.", broken=False)
            return
        try:
            with _open(name, descriptor) as stream:
                if name.lower().endswith(".json"):
                    yield from _read_json(stream, shown)
                else:
                    yield from _read_yaml(stream, shown)
        except (OSError, ItemRefused) as error:
            reason = f"It cannot be read: {error.strerror}." if isinstance(error, OSError) else str(error)
            yield Refused(Origin(shown), reason)


def _is_link(name: str, descriptor: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _open(name: str, descriptor: int) -> t.BinaryIO:
    # Relative to the directory that was listed, and never through a link: a swapped name cannot lead out.
    # Without O_NONBLOCK a named pipe would wait for a writer for ever.
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor)
    state = os.fstat(handle)
    if not stat.S_ISREG(state.st_mode):
        os.close(handle)
        raise ItemRefused("It is not a regular file.")
    if state.st_size > MAX_FILE_BYTES:
        os.close(handle)
        raise ItemRefused(f"It has {state.st_size} bytes; files above {MAX_FILE_BYTES} bytes are not read.")
    return os.fdopen(handle, "rb")


def _shown(path: str) -> str:
    """*path* as text that every output can hold, whatever bytes the file name is made of."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def _in_chart_templates(directory: str, root: str) -> bool:
    while directory.startswith(root) and directory != root:
        parent, name = os.path.split(directory)
        if name == "templates" and os.path.isfile(os.path.join(parent, "Chart.yaml")):
            return True
        directory = parent
    return False


def _read_json(stream: t.BinaryIO, shown: str) -> t.Iterator[EstateObject | Refused]:
    raw = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise ItemRefused(f"It is larger than {MAX_DOCUMENT_BYTES} bytes, the most that one document may have.")
    if not raw.strip():
        return
    try:
        document = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ItemRefused("It is not text in UTF-8.") from None
    except RecursionError:
        raise ItemRefused("It is nested too deeply.") from None
    except ValueError as error:
        raise ItemRefused(f"It is not valid JSON: {error}.") from None
    yield from _objects(document, Origin(shown, line=1))


def _read_yaml(stream: t.BinaryIO, shown: str) -> t.Iterator[EstateObject | Refused]:
    for number, (line, raw, oversized) in enumerate(_documents(stream)):
        origin = Origin(shown, number, line=line)
        try:
            if oversized:
                raise ItemRefused(f"The document is larger than {MAX_DOCUMENT_BYTES} bytes, the most one may have.")
            document = parse_yaml(raw, line)
        except ItemRefused as error:
            yield Refused(origin, str(error))
            continue
        yield from _objects(document, origin)


def _documents(stream: t.BinaryIO) -> t.Iterator[tuple[int, bytes, bool]]:
    """Split a YAML stream into (first line, text, larger than allowed), so that a broken document costs itself alone.

    Documents without content (comments, blank lines) are left out, as every YAML reader leaves them out.
    """
    held: list[bytes] = []
    size = 0
    start = 1
    content = False
    for number, line in enumerate(iter(lambda: stream.readline(MAX_DOCUMENT_BYTES), b""), 1):
        marker = _MARKER.match(line)
        if marker:
            if content:
                yield start, b"".join(held), size > MAX_DOCUMENT_BYTES
            rest = line[3:] if marker.group(1) == b"---" else b"\n"
            # Text may follow the marker on its line; blanks keep its column.
            held, size, start = [b"   " + rest], len(rest), number
            content = bool(rest.strip()) and not rest.lstrip().startswith(b"#")
            continue
        size += len(line)
        if size <= MAX_DOCUMENT_BYTES:
            held.append(line)
        stripped = line.lstrip(b"\xef\xbb\xbf").strip()
        # A line that starts with % before any content is a directive, not part of the document.
        if stripped and not stripped.startswith(b"#") and not (line.startswith(b"%") and not content):
            content = True
    if content:
        yield start, b"".join(held), size > MAX_DOCUMENT_BYTES


def parse_yaml(raw: bytes | str, first_line: int = 1) -> t.Any:
    """Load one YAML document safely: no tags that build objects, no bombs, no depth that could break the parser.

    Times stay the texts they are. Raises ItemRefused with the reason and the line (counted from *first_line*).
    """
    if yaml is None:
        raise LibraryMissing("PyYAML", YAML_ERROR)
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ItemRefused("It is not text in UTF-8.") from None
    loader_class = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if text.count("[") + text.count("{") > _MANY_BRACKETS or _DEEP_INDENT.search(text):
            _check_depth(text, loader_class)
        loader = loader_class(text)
        try:
            loader.yaml_implicit_resolvers = _resolvers(loader_class)
            node = loader.get_single_node()
            if node is None:
                return None
            if "&" in text and "*" in text:
                _check_expansion(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + first_line}" if mark else ""
        raise ItemRefused(f"It is not valid YAML{where}: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:
        raise ItemRefused(f"It is not valid YAML: {' '.join(str(error).split())[:200]}.") from None
    except RecursionError:
        raise ItemRefused("It is nested too deeply.") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise ItemRefused(f"It holds a value that cannot be read: {str(error)[:200]}.") from None


@functools.cache
def _resolvers(loader_class: t.Any) -> dict[t.Any, t.Any]:
    """The loader's rules without times and `=`: the API server reads both as plain text."""
    dropped = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}
    return {
        first: [rule for rule in rules if rule[0] not in dropped]
        for first, rules in loader_class.yaml_implicit_resolvers.items()
    }


def _check_depth(text: str, loader_class: t.Any) -> None:
    """Refuse deep nesting from the event stream, which needs no stack; libyaml's own composer overflows on it."""
    depth = 0
    for event in yaml.parse(text, Loader=loader_class):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_PARSER_DEPTH:
                raise ItemRefused(f"It is nested deeper than {MAX_PARSER_DEPTH} levels.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_expansion(root: t.Any) -> None:
    """Refuse a document whose aliases unfold to more than MAX_NODES nodes or contain themselves."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def measure(node: t.Any) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in open_nodes:
            raise ItemRefused("It contains an alias to itself.")
        open_nodes.add(id(node))
        total = 1
        for child in node.value:
            total += sum(map(measure, child)) if isinstance(child, tuple) else measure(child)
            if total > MAX_NODES:
                raise ItemRefused(f"Its aliases unfold to more than {MAX_NODES} nodes.")
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    measure(root)


def _objects(document: t.Any, origin: Origin) -> t.Iterator[EstateObject | Refused]:
    if document is None:
        return
    if not isinstance(document, dict) or "apiVersion" not in document or "kind" not in document:
        yield Refused(origin, "It is no Kubernetes object: it has no apiVersion and kind.", broken=False)
        return
    if str(document.get("apiVersion")).partition("/")[0] in TOOL_GROUPS:
        yield Refused(origin, f"It is a {document.get('kind')} of a tool, no object of a cluster.", broken=False)
        return
    for index, member in expand(document):
        place = origin if index is None else Origin(origin.path, origin.document, index, origin.line)
        try:
            manifest = plain(member)
            yield EstateObject(identify(manifest), manifest, place)
        except ItemRefused as error:
            yield Refused(place, str(error))
