"""A page with slices to scroll through and instances to click on, which loads nothing."""

from __future__ import annotations

import base64
import json
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

VIEWER = files("mitotools.view") / "viewer"

SCRIPTS = ("slices.js", "picture.js", "instances.js", "page.js")
"""One script on the page, in this order."""

POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
"""Browsers keep the page from loading anything, and from being told to."""


def begin_page(page: TextIO, title: str) -> None:
    """Write what stands before the images."""
    body = (VIEWER / "viewer.html").read_text("utf-8").replace("<h1></h1>", f"<h1>{escape(title)}</h1>")
    page.write(
        f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>
{(VIEWER / "viewer.css").read_text("utf-8")}</style>
</head>
<body>
{body}"""
    )


def add_image(page: TextIO, name: str, kind: str, data: bytes) -> None:
    """Write an image, which the script of the page finds by its name.

    Parameters
    ----------
    page : file
    name : str
        ``raw-0``, of the first slice; ``labels-1-0``, of the second layer there.
    kind : str
        As ``image/png``.
    data : bytes
    """
    text = base64.b64encode(data).decode("ascii")
    page.write(f'<script type="text/plain" id="{name}" data-kind="{kind}">{text}</script>\n')


def end_page(page: TextIO, facts: Mapping[str, Any]) -> None:
    """Write what stands behind the images: what is known of slices and instances, and the script."""
    text = json.dumps(facts, allow_nan=False, separators=(",", ":"))
    page.write(f'<script type="application/json" id="meta">{_harmless(text)}</script>\n')
    script = "\n".join((VIEWER / name).read_text("utf-8") for name in SCRIPTS)
    page.write(f"<script>\n{script}</script>\n</body>\n</html>\n")


def _harmless(text: str) -> str:
    """Return JSON in which no text can end the element that it stands in."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
