"""A page that reports on tables of instances: sizes, all measurements, and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitotools.view.distribution_table import numbers_page, numbers_table
from mitotools.view.distributions import draw_distributions
from mitotools.view.plot_file import plain, svg_of, table
from mitotools.view.thumbnails import STYLE, gallery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mitotools.view.distribution_table import Distribution
    from mitotools.view.thumbnails import Thumbnail


def size_page(
    distributions: Sequence[Distribution],
    header: Sequence[str],
    rows: Mapping[str, Sequence[Sequence[str]]],
    pictures: Sequence[Thumbnail],
    below: str = "",
) -> str:
    """Return a page of HTML that loads nothing.

    Parameters
    ----------
    distributions : sequence of Distribution
        One a table.
    header, rows : sequence of str, mapping of str to rows of str
        The measurements of each table; plain text, which is escaped.
    pictures : sequence of Thumbnail
    below : str
        HTML in whole lines.
    """
    tables = "".join(f"<h2>{plain(name)}</h2>\n{table(header, each)}" for name, each in rows.items() if each)
    more = tables + gallery("Instances that stand out", pictures, {}) + below
    svg = svg_of(draw_distributions(distributions))
    return numbers_page(svg, numbers_table(distributions), STYLE, more)
