# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results and events of a run to JSON, Markdown, HTML and terminal text: plain data in, text out."""

from __future__ import annotations

from .criteria import evaluate
from .final_file import (
    ReportError,
    build_final,
    dump_json,
    final_file_name,
    read_final,
    validate_final,
    write_final,
    write_text,
)
from .html import render_html
from .live import LiveView
from .markdown import render_markdown
from .measures import measure_run
from .plan_document import plan_document, plan_file_name
from .summary import build_summary, read_summary, summary_file_stem
from .summary_document import summary_document
from .writing import write_plan_document, write_summary

__all__ = [
    "LiveView",
    "ReportError",
    "build_final",
    "build_summary",
    "dump_json",
    "evaluate",
    "final_file_name",
    "measure_run",
    "plan_document",
    "plan_file_name",
    "read_final",
    "read_summary",
    "render_html",
    "render_markdown",
    "summary_document",
    "summary_file_stem",
    "validate_final",
    "write_final",
    "write_plan_document",
    "write_summary",
    "write_text",
]
