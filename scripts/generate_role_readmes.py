# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write each role's README.md from its argument specs, so that the two cannot say different things.

`generate_role_readmes.py` writes, `--check` names the files that are not current and exits with 1.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- Made from meta/argument_specs.yml by scripts/generate_role_readmes.py: change that, run `make docs`. -->"

# Ansible's documentation markup and what it becomes in Markdown.
MARKUP = (
    (re.compile(r"\b[CVEP]\(([^)]*)\)"), r"`\1`"),
    (re.compile(r"\bO\(([^)]*)\)"), r"`\1`"),
    (re.compile(r"\bRV\(([^)]*)\)"), r"`\1`"),
    (re.compile(r"\bM\(([^)]*)\)"), r"`\1`"),
    (re.compile(r"\bB\(([^)]*)\)"), r"**\1**"),
    (re.compile(r"\bI\(([^)]*)\)"), r"*\1*"),
    (re.compile(r"\bL\(([^,)]*),\s*([^)]*)\)"), r"[\1](\2)"),
    (re.compile(r"\bU\(([^)]*)\)"), r"<\1>"),
)


def paragraphs(text: Any) -> list[str]:
    """Return a description, given as a string or a list of them, as paragraphs of Markdown."""
    result = []
    for part in [text] if isinstance(text, str) else text or []:
        line = " ".join(str(part).split())
        for pattern, replacement in MARKUP:
            line = pattern.sub(replacement, line)
        result.append(line)
    return result


def type_of(option: Mapping[str, Any]) -> str:
    """Return an option's type as a reader says it: `list of str`."""
    kind = str(option.get("type", "str"))
    return f"list of {option['elements']}" if kind == "list" and option.get("elements") else kind


def flattened(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every option with its full name: suboptions of `a` are `a.b`, of a list `a[].b`."""
    for name, option in options.items():
        yield prefix + name, option
        if option.get("options"):
            yield from flattened(option["options"], f"{prefix}{name}{'[]' if option.get('type') == 'list' else ''}.")


def cell(text: str) -> str:
    """Return a text that cannot end a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def shown_default(option: Mapping[str, Any]) -> str:
    """Return what stands in the column of defaults: `required`, nothing, or the value as YAML."""
    if option.get("required"):
        return "*required*"
    if "default" not in option:
        return ""
    return f"`{yaml.safe_dump(option['default'], default_flow_style=True, width=1000).replace('...', '').strip()}`"


def entry_point(role: str, name: str, spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines about one entry point."""
    yield f"## `{name}`"
    yield ""
    short = [f"{text.rstrip('.')}." for text in paragraphs(spec.get("short_description"))]
    for paragraph in dict.fromkeys([*short, *paragraphs(spec.get("description"))]):
        yield paragraph
        yield ""
    options = dict(flattened(spec.get("options") or {}))
    if options:
        yield "| variable | type | default | meaning |"
        yield "| --- | --- | --- | --- |"
        for variable, option in options.items():
            meaning = " ".join(paragraphs(option.get("description")))
            if option.get("choices"):
                meaning += f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}."
            row = (f"`{variable}`", type_of(option), shown_default(option), meaning)
            yield "| " + " | ".join(map(cell, row)) + " |"
    else:
        yield "It has no variables."
    yield ""
    yield "```yaml"
    yield f"- name: {' '.join(str(spec.get('short_description') or f'Run {role}').split()).rstrip('.')}"
    yield "  ansible.builtin.include_role:"
    yield f"    name: cortex.larry.{role}"
    if name != "main":
        yield f"    tasks_from: {name}"
    required = {key: option for key, option in (spec.get("options") or {}).items() if option.get("required")}
    if required:
        yield "  vars:"
        for variable, option in required.items():
            yield f"    {variable}: {(option.get('choices') or ['...'])[0]}"
    yield "```"
    yield ""


def readme(role: Path) -> str:
    """Return the README of a role directory."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    lines = [NOTE, "", f"# cortex.larry.{role.name}", ""]
    meta = role / "meta" / "main.yml"
    info = (yaml.safe_load(meta.read_text(encoding="utf-8")) or {}).get("galaxy_info", {}) if meta.is_file() else {}
    for paragraph in paragraphs(info.get("description")):
        lines += [paragraph.rstrip(".") + ".", ""]
    if len(specs) > 1:
        lines += ["Entry points:", ""]
        for name, spec in specs.items():
            short = " ".join(paragraphs(spec.get("short_description"))).rstrip(".")
            lines.append(f"- [`{name}`](#{name}){f': {short}' if short else ''}")
        lines.append("")
    for name, spec in specs.items():
        lines += entry_point(role.name, name, spec)
    lines += ["## License", "", "GPL-3.0-or-later, see the collection's LICENSE."]
    return "\n".join(lines) + "\n"


def outdated(roles: Path) -> Iterator[tuple[Path, str]]:
    """Yield the README files that are not what the argument specs say, with what they should be."""
    for specs in sorted(roles.glob("*/meta/argument_specs.yml")):
        path = specs.parent.parent / "README.md"
        wanted = readme(specs.parent.parent)
        if not path.is_file() or path.read_text(encoding="utf-8") != wanted:
            yield path, wanted


def main(arguments: list[str] | None = None) -> int:
    """Write the outdated README files, or name them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a README is not current")
    options = parser.parse_args(arguments)
    stale = list(outdated(ROOT / "roles"))
    for path, wanted in stale:
        print(f"{path.relative_to(ROOT)} {'is not current: run `make docs`' if options.check else 'written'}")
        if not options.check:
            path.write_text(wanted, encoding="utf-8")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
