"""Cards as one HTML file that needs nothing else: no server, no script, no picture or style from elsewhere.

Text from outside is text already in the Markdown. Here nothing could come of it either: HTML in it is not let
through, nothing becomes a link, only PNGs within the file are pictures, and the page forbids the rest itself.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.rules_core import StateCore

_PNG = "data:image/png;base64,"
_ALIGNED = {"text-align:right": "right", "text-align:center": "center"}

_STYLE = """\
:root { color-scheme: light dark; --ink: #1f2430; --quiet: #667085; --line: #e4e7ec; --shade: #f6f7f9;
  --page: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ec; --quiet: #98a2b3; --line: #344054; --shade: #1d2330; --page: #12161f; }
}
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
header p, footer { color: var(--quiet); }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; }
header p { margin: .25rem 0 0; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 1rem; }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; }
article { border-top: 2px solid var(--line); margin-top: 2rem; padding-top: 1.5rem; }
table { border-collapse: collapse; display: block; margin: .75rem 0; overflow-x: auto;
  font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .9rem .3rem 0; text-align: left;
  vertical-align: top; overflow-wrap: break-word; max-width: 44rem; }
th { color: var(--quiet); font-weight: 600; }
.right { text-align: right; white-space: nowrap; }
.center { text-align: center; }
img { display: block; max-width: min(100%, 48rem); height: auto; margin: 1rem 0;
  border-radius: 6px; background: #fff; }
pre { background: var(--shade); border-radius: 6px; overflow-x: auto; padding: .75rem 1rem; }
code { font: .87rem/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
hr { border: 0; border-top: 1px solid var(--line); margin: 1.5rem 0 .75rem; }
hr ~ ul { color: var(--quiet); font-size: .87rem; }
@media print {
  :root { --ink: #000; --quiet: #444; --line: #bbb; --shade: #f6f7f9; --page: #fff; }
  body { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; }
  img, tr, pre { break-inside: avoid; }
}
"""
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)


def page(title: str, subtitle: str, cards: Sequence[str]) -> str:
    """The *cards*, which are Markdown, as one HTML document below a title and a line about it."""
    reader = _reader()
    articles = "".join(f"<article>\n{reader.render(card)}</article>\n" for card in cards)
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header>
<main>
{articles}</main>
</body>
</html>
"""


def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink"])
    reader.validateLink = lambda url: url.startswith(_PNG)  # type: ignore[method-assign]  # its way to be told
    reader.core.ruler.push("styles", _without_styles)
    return reader


def _without_styles(state: StateCore) -> None:
    """The page allows no style in an element; so a column's alignment is a class."""
    for token in state.tokens:
        if token.type in {"th_open", "td_open"}:
            style = token.attrs.pop("style", "")
            if str(style) in _ALIGNED:
                token.attrSet("class", _ALIGNED[str(style)])
