"""Small pictures of instances in a page, with what is known of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STYLE = """figure { margin: 0; }
figure img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #222;
  image-rendering: pixelated; }
figcaption { font-size: 90%; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(13em, 1fr)); gap: 1em; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em;
  box-shadow: 0 0 0 1px #888;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
p.legend span { margin-right: 1.2em; white-space: nowrap; }
"""


@dataclass(frozen=True)
class Thumbnail:
    """One instance that is looked at.

    Parameters
    ----------
    picture : bytes
        A PNG.
    kind, words : str
        What it is an example of, and what else is known; plain text.
    colour : str
        Of its kind, ``#rrggbb``; "": it has none.
    """

    picture: bytes
    kind: str
    words: str
    colour: str = ""


def gallery(title: str, thumbnails: Sequence[Thumbnail], legend: Mapping[str, str]) -> str:
    """Return pictures under a title as HTML in whole lines; nothing where there is none.

    Parameters
    ----------
    title : str
    thumbnails : sequence of Thumbnail
    legend : mapping of str to str
        What colours (``#rrggbb``) mean; it may be empty.
    """
    if not thumbnails:
        return ""
    entries = "".join(f"<span>{_swatch(colour)}{escape(kind)}</span>" for kind, colour in legend.items())
    below = f'<p class="legend">{entries}</p>\n' if legend else ""
    figures = "".join(map(_figure, thumbnails))
    return f'<h2>{escape(title)}</h2>\n{below}<div class="pictures">\n{figures}</div>\n'


def _swatch(colour: str) -> str:
    return f'<i class="swatch" style="background:{escape(colour)}"></i>' if colour else ""


def _figure(one: Thumbnail) -> str:
    data = base64.b64encode(one.picture).decode("ascii")
    kind, words = escape(one.kind), escape(one.words)
    return (
        f'<figure><img alt="{kind}: {words}" src="data:image/png;base64,{data}">'
        f"<figcaption>{_swatch(one.colour)}<b>{kind}</b> {words}</figcaption></figure>\n"
    )
