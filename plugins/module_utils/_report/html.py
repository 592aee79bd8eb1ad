# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A document as one self-contained HTML page: no script, no outside file, light and dark, paper and phone."""

from __future__ import annotations

from .._text import escape_html
from .document import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Document,
    Figures,
    Gantt,
    Heading,
    Inline,
    Mermaid,
    Paragraph,
    Reason,
    State,
    Strong,
    Table,
    inline_parts,
)
from .gantt import gantt_svg

_LONG_CODE = 34
_GOOD = {"met", "completed", "resolved"}
_BAD = {"unmet", "failed", "blocked", "critical", "high"}
_BUSY = {"in_progress", "medium"}

_STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1a2230;--soft:#5a6577;--line:#dfe4ec;--head:#eef1f6;
--accent:#3557c9;--good:#187a45;--good-bg:#def5e7;--bad:#b3261e;--bad-bg:#fde5e3;--busy:#8a5a00;--busy-bg:#fdf0d2;
--open:#566074;--open-bg:#e9edf3;--code:#eff2f7;--bar-good:#35a36b;--bar-bad:#d9534a;--bar-busy:#d99a2b;
--bar-open:#9aa5b8;--bar-plan:#b9c6ea}
@media (prefers-color-scheme:dark){:root{--bg:#10141b;--card:#181e28;--ink:#e4e9f1;--soft:#9ba7ba;--line:#2b3442;
--head:#202836;--accent:#8fa9ff;--good:#7fdcaa;--good-bg:#153626;--bad:#ff9d95;--bad-bg:#431d1b;--busy:#f3c670;
--busy-bg:#3c2e12;--open:#aeb9cb;--open-bg:#29313f;--code:#222a37;--bar-good:#3fae76;--bar-bad:#e0675e;
--bar-busy:#d99a2b;--bar-open:#66738a;--bar-plan:#3d4f85}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",sans-serif;overflow-wrap:anywhere}
header,main,footer{max-width:1120px;margin:0 auto;padding:0 20px}
header{padding-top:40px}
h1{font-size:clamp(1.5rem,4.5vw,2.3rem);line-height:1.15;margin:0 0 8px;letter-spacing:-.015em}
header p{color:var(--soft);margin:0 0 18px}
nav{display:flex;flex-wrap:wrap;gap:6px;margin-bottom:8px}
nav a{color:var(--accent);text-decoration:none;font-size:.86rem;padding:3px 10px;border:1px solid var(--line);
border-radius:99px;background:var(--card)}
nav a:hover,nav a:focus-visible{border-color:var(--accent)}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 24px;margin:18px 0}
h2{font-size:1.28rem;margin:0 0 12px;letter-spacing:-.01em}
h3{font-size:1.02rem;margin:24px 0 8px}
p{margin:8px 0}
ul{margin:8px 0;padding-left:22px}
li{margin:5px 0}
code{font:.86em/1.45 ui-monospace,"SF Mono",Menlo,Consolas,monospace;background:var(--code);padding:.1em .35em;
border-radius:4px}
pre{background:var(--code);padding:12px 14px;border-radius:8px;overflow-x:auto}
pre code{background:none;padding:0}
.scroll{overflow-x:auto;margin:10px 0}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th{text-align:left;font-weight:600;overflow-wrap:normal;color:var(--soft);background:var(--head)}
th,td{padding:7px 8px;border-bottom:1px solid var(--line);vertical-align:top}
tbody tr:last-child td{border-bottom:0}
td{min-width:4.5em;overflow-wrap:break-word}
td code:not(.long){white-space:nowrap}
code.long{white-space:normal;overflow-wrap:anywhere}
td code.long{display:inline-block;min-width:17em}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.badge{display:inline-block;font-size:.8rem;font-weight:600;padding:1px 9px;border-radius:99px;white-space:nowrap;
color:var(--open);background:var(--open-bg)}
.why{color:var(--soft);font-size:.94em}
td .why{display:inline-block;min-width:11em}
th.num{white-space:normal}
.good{color:var(--good);background:var(--good-bg)}
.bad{color:var(--bad);background:var(--bad-bg)}
.busy{color:var(--busy);background:var(--busy-bg)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(155px,1fr));gap:10px;margin:12px 0}
.figure{border:1px solid var(--line);border-radius:10px;padding:10px 14px}
.figure>b{display:block;font-size:1.35rem;line-height:1.3;font-weight:650;font-variant-numeric:tabular-nums}
.figure>span{display:block;color:var(--soft);font-size:.82rem;line-height:1.4}
.more{color:var(--soft);font-size:.86rem}
.gantt{min-width:680px;width:100%;height:auto;display:block}
.gantt text{fill:var(--ink);font:12.5px system-ui,sans-serif}
.gantt .tick{fill:var(--soft);font-size:11.5px}
.gantt .group{font-weight:650;font-size:13.5px}
.gantt .grid{stroke:var(--line);stroke-width:1}
.gantt .bar{fill:var(--bar-open)}
.gantt .bar-completed{fill:var(--bar-good)}
.gantt .bar-failed{fill:var(--bar-bad)}
.gantt .bar-in-progress{fill:var(--bar-busy)}
.gantt .bar-planned{fill:var(--bar-plan)}
.gantt .waiting{fill:var(--bar-busy);opacity:.55}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;color:var(--soft);font-size:.82rem;margin:4px 0 0}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;vertical-align:-1px}
footer{color:var(--soft);font-size:.84rem;padding-top:4px;padding-bottom:40px}
@media (max-width:1100px){td code:not(.long){white-space:normal}}
@media (max-width:820px){header,main,footer{padding-left:12px;padding-right:12px}header{padding-top:24px}
section{padding:16px 14px}
.cards table,.cards tbody,.cards tr,.cards td{display:block;width:100%}
.cards thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.cards tr{border:1px solid var(--line);border-radius:10px;padding:6px 0;margin:10px 0}
.cards td{border:0;padding:4px 12px;display:grid;grid-template-columns:minmax(88px,32%) 1fr;gap:10px}
.cards td::before{content:attr(data-label);color:var(--soft);font-size:.82rem}
.cards td:first-child{font-weight:600}
.cards td code.long{min-width:0}
.cards .num{text-align:left;white-space:normal}}
@media print{body{background:#fff}section{break-inside:auto;border:0;padding:0}nav{display:none}}
"""

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
"""
_LEGEND = (
    ("completed", "--bar-good"),
    ("failed", "--bar-bad"),
    ("in_progress", "--bar-busy"),
    ("skipped", "--bar-open"),
    ("planned", "--bar-plan"),
)


def render_html(document: Document) -> str:
    """The document as the text of one HTML page."""
    out = [_HEAD, f"<title>{escape_html(document.title, 200)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"]
    out.append(f"<header>\n<h1>{escape_html(document.title, 300)}</h1>\n<p>{_inline(document.subtitle)}</p>\n<nav>")
    out.extend(
        f'<a href="#s{number}">{escape_html(section.title, 80)}</a>'
        for number, section in enumerate(document.sections, 1)
    )
    out.append("</nav>\n</header>\n<main>\n")
    for number, section in enumerate(document.sections, 1):
        out.append(f'<section id="s{number}">\n<h2>{escape_html(section.title, 200)}</h2>\n')
        out.extend(_block(block) + "\n" for block in section.blocks)
        out.append("</section>\n")
    out.append("</main>\n</body>\n</html>\n")
    return "".join(out)


def _inline(text: Inline) -> str:
    return "".join(_part(part) for part in inline_parts(text))


def _part(part: str) -> str:
    if isinstance(part, Code):
        # A short id is not torn apart at its dashes where there is room; a command or a digest may break anywhere.
        css = ' class="long"' if len(part) > _LONG_CODE else ""
        return f"<code{css}>{escape_html(part)}</code>" if part else ""
    if isinstance(part, State):
        kind = "good" if part in _GOOD else "bad" if part in _BAD else "busy" if part in _BUSY else "none"
        return f'<span class="badge {kind}">{escape_html(part, 40)}</span>'
    if isinstance(part, Reason):
        return f' <span class="why">{escape_html(part)}</span>' if part else ""
    if isinstance(part, Strong):
        return f"<strong>{escape_html(part)}</strong>"
    return escape_html(part)


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h3>{escape_html(block.text, 300)}</h3>"
    if isinstance(block, Paragraph):
        return f"<p>{_inline(block.text)}</p>"
    if isinstance(block, Bullets):
        return "<ul>" + "".join(f"<li>{_inline(entry)}</li>" for entry in block.entries) + "</ul>"
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figures):
        return '<div class="figures">' + "".join(_figure(*entry) for entry in block.entries) + "</div>"
    if isinstance(block, (CodeBlock, Mermaid)):
        # Mermaid needs a script to become a picture; a page without scripts shows its source.
        return f"<pre><code>{escape_html(block.text, None)}</code></pre>"
    if isinstance(block, Gantt):
        return _gantt(block)
    raise TypeError(f"no block of a document: {type(block).__name__}")


def _figure(label: str, figure: Inline, note: str) -> str:
    more = f"<span>{escape_html(note, 300)}</span>" if note else ""
    return f'<div class="figure"><span>{escape_html(label, 120)}</span><b>{_inline(figure)}</b>{more}</div>'


def _gantt(chart: Gantt) -> str:
    states = {one.state for _label, bars in chart.groups for one in bars}
    legend = "".join(
        f'<span><i style="background:var({color})"></i>{escape_html(state)}</span>'
        for state, color in _LEGEND
        if state in states
    )
    if any(one.waiting_from is not None for _label, bars in chart.groups for one in bars):
        legend += '<span><i style="background:var(--bar-busy);opacity:.55"></i>waiting</span>'
    return (
        f"<h3>{escape_html(chart.title, 300)}</h3>"
        f'<div class="scroll">{gantt_svg(chart)}</div><p class="legend">{legend}</p>'
    )


def _table(table: Table) -> str:
    classes = [' class="num"' if column in table.numeric else "" for column in table.columns]
    labels = [escape_html(column, 120) for column in table.columns]
    head = "".join(f'<th scope="col"{css}>{label}</th>' for css, label in zip(classes, labels, strict=True))
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-label="{label}"{css}><span>{_inline(cell)}</span></td>'
            for cell, css, label in zip(row, classes, labels, strict=True)
        )
        + "</tr>"
        for row in table.rows[: table.limit]
    )
    more = ""
    if len(table.rows) > table.limit:
        left = len(table.rows) - table.limit
        more = f'<p class="more">{left} more rows are in {escape_html(table.where, 200)}.</p>'
    return f'<div class="scroll cards"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'
