"""The one dialect of tables: tab-separated, a header, an empty field where there is no value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def tsv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Return the lines of a table, header first, without line ends."""
    yield "\t".join(columns)
    for row in rows:
        yield "\t".join(field(value) for value in row)


def field(value: Any) -> str:
    """Return a value as its field: floats in the shortest form that reads back as the same number."""
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)
