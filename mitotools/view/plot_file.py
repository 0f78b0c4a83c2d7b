"""Files of plots: pictures, and pages that need nothing else; the same figure gives the same bytes."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING

import matplotlib as mpl

from mitotools import __version__
from mitotools.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

SUFFIXES = (".png", ".html")

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""For all kinds of colour vision (Okabe and Ito, 2008), without their yellow, too light for lines."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Browsers keep a page from loading anything, and from running anything."""

MOST_VECTOR_POINTS = 3000
"""More points than this are pixels in a page, which else would be many megabytes long."""

DPI = 150

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; padding: 0 1em; }
svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3em .8em; text-align: right; border-bottom: 1px solid #ccc; }
.origin { color: #555; font-size: 85%; overflow-wrap: anywhere; }
@media print { .wide { overflow: visible; } h2 { break-after: avoid; } tr, figure { break-inside: avoid; } }
"""


def write_plot(path: Path, suffix: str, figure: Figure, page_of: Callable[[str], str]) -> None:
    """Write a figure to a file.

    Parameters
    ----------
    path : Path
    suffix : str
        One of `SUFFIXES`.
    figure : Figure
    page_of : callable
        Makes the page around an SVG element.
    """
    if suffix == ".html":
        path.write_text(page_of(svg_of(figure)), "utf-8")
        return
    with _any_script():
        figure.savefig(path, format="png", metadata={"Software": None})


def svg_of(figure: Figure) -> str:
    """Return a figure as an SVG element."""
    drawing = io.StringIO()
    nothing = dict.fromkeys(["Date", "Creator", "Format", "Type"])
    with _any_script(), mpl.rc_context({"svg.hashsalt": "mitotools"}):
        figure.savefig(drawing, format="svg", metadata=nothing)
    svg = drawing.getvalue()
    return svg[svg.index("<svg") :]


@contextmanager
def _any_script() -> Iterator[None]:
    """Draw names in scripts that the font lacks without a word."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def plain(text: str) -> str:
    """Return a text as HTML that shows it, whatever it holds: a name of a file may hold anything."""
    return escape(printable(text))


def page(title: str, style: str, svg: str, below: str) -> str:
    """Return a page of HTML that loads nothing.

    Parameters
    ----------
    title : str
    style : str
        CSS beside that of all pages.
    svg : str
        An element.
    below : str
        HTML that follows it, in whole lines.
    """
    drawing = svg.strip().replace("<svg", f'<svg role="img" aria-label="{plain(title)}"', 1)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{plain(title)}</title>
<style>{_STYLE}{style}</style>
</head>
<body>
<h1>{plain(title)}</h1>
{drawing}
{below}</body>
</html>
"""


def origin(command_line: str, voxel_size_nm: Sequence[float] | None) -> str:
    """Return by which version and by which command a page is made, as HTML in a whole line.

    Not when: the same command makes the same page.

    Parameters
    ----------
    command_line : str
    voxel_size_nm : (z, y, x), optional
        What to say of the voxels.
    """
    parts = [f"mitotools {__version__}", command_line]
    if voxel_size_nm is not None:
        parts.append(f"voxels of {' x '.join(f'{length:g}' for length in voxel_size_nm)} nm (z, y, x)")
    words = ", ".join(part for part in parts if part)
    return f'<p class="origin">{plain(words)}</p>\n'


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain text, which is escaped, as HTML in whole lines."""
    head = "".join(f"<th>{plain(name)}</th>" for name in header)
    body = "\n".join("<tr>" + "".join(f"<td>{plain(field)}</td>" for field in row) + "</tr>" for row in rows)
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>\n"
    )
