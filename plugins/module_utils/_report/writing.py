# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing the summary and the plan document: the last step, and the only one that makes files of documents."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .final_file import write_text
from .html import render_html
from .markdown import render_markdown
from .plan_document import plan_document, plan_file_name
from .summary import read_summary, summary_file_stem
from .summary_document import summary_document


def write_summary(
    paths: Sequence[str], directory: str, earlier: Sequence[Sequence[str]] = (), output: str | None = None
) -> dict[str, Any]:
    """Make the summary of the final files at `paths`, as Markdown and as HTML beside it.

    Args:
        paths: Final files of one run.
        directory: Where the summary goes, made if missing; its name comes from the plan's title.
        earlier: For each earlier run to compare with, its final files, oldest first.
        output: The path of the Markdown file instead; the HTML file is beside it, ending in ``.html``.

    Returns:
        ``markdown`` and ``html`` (``path``, ``sha256``, ``bytes`` each) and the ``model`` (`summary.build_summary`).

    Raises:
        ReportError: a file cannot be used, or they are not of one run.
        OSError: the summary cannot be written.
    """
    where = os.path.dirname(os.path.abspath(output)) if output else directory
    model = read_summary(paths, earlier, where)
    document = summary_document(model)
    path = output or os.path.join(directory, summary_file_stem(model["title"]) + ".md")
    stem = path[:-3] if path.endswith(".md") else path
    return {
        "markdown": write_text(path, render_markdown(document)),
        "html": write_text(stem + ".html", render_html(document)),
        "model": model,
    }


def write_plan_document(plan: Mapping[str, Any], directory: str, digest: str | None = None) -> dict[str, Any]:
    """Write the document of a canonical plan as Markdown into `directory`; returns ``path``, ``sha256``, ``bytes``."""
    path = os.path.join(directory, plan_file_name(plan["title"]))
    return write_text(path, render_markdown(plan_document(plan, digest)))
