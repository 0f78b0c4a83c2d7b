"""The numbers of a plot of sizes in words, and the page that holds both."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Protocol

from mitotools.printable import printable
from mitotools.view.plot_file import page, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Array, Mask

LONGEST_NAME = 40
"""Characters, in the figure; of a longer name the middle is left out."""

HEADER = (
    "Table",
    "Instances",
    "Cut by the border",
    "Smallest whole (µm³)",
    "Mean above it (µm³)",
    "95 % interval",
    "Slope",
    "95 % interval",
    "Intercept (log10 µm³)",
    "r",
)

_STYLE = """body { max-width: 72em; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; min-width: 7em; }
p { max-width: 50em; }
"""

_OF_THE_BARS = "Bars are the volumes as they are seen."
_OF_THE_CURVE = (
    " Curves are exponential distributions from the smallest whole instance on, fitted by maximum "
    "likelihood, in which what the border cuts has at least the volume that is seen."
)
_OF_THE_LINE = " The regression is that of log10 volume on log10 length, by least squares."


class Exponential(Protocol):
    """A fitted exponential, as `segment.measures.size_distribution` makes it."""

    @property
    def smallest_um3(self) -> float: ...  # noqa: D102
    @property
    def mean_um3(self) -> float: ...  # noqa: D102
    @property
    def low_um3(self) -> float: ...  # noqa: D102
    @property
    def high_um3(self) -> float: ...  # noqa: D102
    def density_per_decade(self, volumes_um3: Array) -> Array: ...  # noqa: D102


class Line(Protocol):
    """A fitted line, likewise."""

    @property
    def slope(self) -> float: ...  # noqa: D102
    @property
    def intercept(self) -> float: ...  # noqa: D102
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102
    @property
    def r(self) -> float: ...  # noqa: D102
    def volumes_um3(self, lengths_um: Array) -> Array: ...  # noqa: D102


class Distribution(Protocol):
    """What is drawn of a table, likewise."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def volumes_um3(self) -> Array: ...  # noqa: D102
    @property
    def touches_border(self) -> Mask: ...  # noqa: D102
    @property
    def lengths_um(self) -> Array | None: ...  # noqa: D102
    @property
    def exponential(self) -> Exponential | None: ...  # noqa: D102
    @property
    def line(self) -> Line | None: ...  # noqa: D102
    @property
    def is_small(self) -> bool: ...  # noqa: D102


def words(table: Distribution) -> str:
    """Return a table's line in the legend."""
    name = printable(table.name)
    if len(name) > LONGEST_NAME:
        half = (LONGEST_NAME - 1) // 2
        name = f"{name[:half]}…{name[-half:]}"
    parts = [f"{name}: n = {len(table.volumes_um3)}"]
    if table.is_small:
        parts.append("too few to fit")
    elif table.exponential is None:
        parts.append("no fit: it needs two instances of different volumes that the border does not cut")
    if table.exponential is not None:
        fit = table.exponential
        parts.append(f"mean {fit.mean_um3:.3g} µm³ ({fit.low_um3:.3g} to {fit.high_um3:.3g})")
    if table.line is not None:
        parts.append(f"slope {table.line.slope:.2f} (r = {table.line.r:.2f})")
    return ", ".join(parts)


def numbers_table(distributions: Sequence[Distribution]) -> list[list[str]]:
    """Return the fitted numbers, a row a table under `HEADER`; empty where there is no fit."""
    return [_row(table) for table in distributions]


def _row(table: Distribution) -> list[str]:
    row = [table.name, str(len(table.volumes_um3)), str(int(table.touches_border.sum()))]
    fit, line = table.exponential, table.line
    if fit is None:
        row += [""] * 3
    else:
        row += [f"{fit.smallest_um3:.4g}", f"{fit.mean_um3:.4g}", f"{fit.low_um3:.4g} to {fit.high_um3:.4g}"]
    if line is None:
        return row + [""] * 4
    slope = [f"{line.slope:.3f}", f"{line.low:.3f} to {line.high:.3f}"]
    return [*row, *slope, f"{line.intercept:.3f}", f"{line.r:.3f}"]


def numbers_page(svg: str, rows: Sequence[Sequence[str]], style: str = "", more: str = "") -> str:
    """Return a page of HTML that loads nothing, with a drawing and a table of `HEADER` and rows.

    Parameters
    ----------
    svg : str
        An element.
    rows : sequence of sequences of str
        Plain text, which is escaped. Columns without any are left out.
    style, more : str
        CSS, and HTML that follows the table.
    """
    known = [i for i in range(len(HEADER)) if i == 0 or any(row[i] for row in rows)]
    header = [HEADER[i] for i in known]
    numbers = table(header, [[row[i] for i in known] for row in rows])
    explanation = _OF_THE_BARS
    explanation += _OF_THE_CURVE if "Mean above it (µm³)" in header else ""
    explanation += _OF_THE_LINE if "Slope" in header else ""
    below = f"{numbers}<p>{escape(explanation)}</p>\n"
    names = [row[0] for row in rows]
    title = f"Sizes of instances: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    return page(title, _STYLE + style, svg, below + more)
