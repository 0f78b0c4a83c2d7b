"""How files are damaged: bytes at random, and words of texts at random or each in turn."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Return some bytes changed, cut out, repeated, or numbers and words of a text replaced."""
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        kind = draw.randrange(6)
        start = draw.randrange(len(damaged) + 1)
        if draw.random() < 0.5:
            start = min(start, draw.randrange(1024))  # most of what is believed stands at the beginning
        length = draw.choice((1, 1, 2, 4, 8, 64))
        piece = bytes(damaged[start : start + length])
        if kind == 0:
            piece = draw.randbytes(len(piece))
        elif kind == 1:
            piece = draw.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * len(piece)
        elif kind == 2:
            piece = bytes(byte ^ (1 << draw.randrange(8)) for byte in piece)
        elif kind == 3:
            piece = b""
        elif kind == 4:
            piece *= draw.choice((2, 3, 1000))
        else:
            del damaged[start:]
            piece = b"" if draw.random() < 0.3 else piece
        damaged[start : start + length] = piece
    return bytes(damaged)


WORDS = [
    b"0", b"-1", b"1e400", b"NaN", b"1e15", b"99999999999999999999", b"2147483648", b"0.5", b'"x"', b"null",
    b"[]", b"{}", b"[1,2,3]", b'""', b'"../../../etc/passwd"', b'"/etc"', b"true", b"1, 1", b"\xe2\x80\xae",
    b"\t", b"\n",
]  # fmt: skip

MORE_WORDS = [
    b"9" * 400, b"-" + b"9" * 400, b"1e308", b"1.5", b"9223372036854775807", b"18446744073709551616",
    b"[[1]]", b'{"a":1}', b"[null]", b'"mask"',
]  # fmt: skip

_WORD = re.compile(rb'"[^"]*"|-?[0-9.]+|[a-z]+|[\[{][^\[{]*?[\]}]')

MOST_WORDS = 150
"""Of a text, that are replaced; those of long tables are all alike."""


def reworded(content: bytes, draw: random.Random) -> bytes:
    """Return a text in which numbers, words or values are others."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        found = list(_WORD.finditer(content))
        if not found:
            return content
        place = draw.choice(found)
        new = draw.choice(WORDS) if draw.random() < 0.7 else draw.choice(found)[0]
        content = content[: place.start()] + new + content[place.end() :]
    return content


def damage(content: bytes, draw: random.Random) -> bytes:
    """Return a damaged file."""
    return (reworded if _is_text(content) and draw.random() < 0.7 else mutated)(content, draw)


def _is_text(content: bytes) -> bool:
    return b"\0" not in content[:64]


def each_reworded(content: bytes) -> Iterator[bytes]:
    """Yield a file with one word of its text replaced by another, for every word and every other."""
    if _is_text(content):
        yield from _each_reworded(content)
    elif content[8:9] == b"{":  # safetensors: the length of a text, the text, and numbers
        end = 8 + int.from_bytes(content[:8], "little")
        for text in _each_reworded(content[8:end]):
            yield len(text).to_bytes(8, "little") + text + content[end:]


def _each_reworded(text: bytes) -> Iterator[bytes]:
    for place in itertools.islice(_WORD.finditer(text), MOST_WORDS):
        for word in (*WORDS, *MORE_WORDS):
            yield text[: place.start()] + word + text[place.end() :]
