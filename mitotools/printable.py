"""Texts that others wrote, as they are shown: names of files, and what files say of themselves."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return a text with escapes, ``\n`` or ``\x1b`` say, for what would steer a terminal or end a line.

    Bytes in a file's name that are no UTF-8 become escapes too: ``\udcff``, as on standard error.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
