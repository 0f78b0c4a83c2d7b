"""Small maps drawn slice by slice, and the labels that they must give, worked out by hand; those of cc.

Slices stand side by side. A letter of a drawing stands for the values of all channels; a digit of the labels
is an instance, a dot background.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mitotools.parameters import DecodeParameters

Legend = dict[str, tuple[int, ...]]

# The thresholds are the defaults, foreground above 204 and cores with a contour below 153; the values stand
# right beside them.
MASK: Legend = {".": (204,), "#": (205,)}
CORE: Legend = {".": (204, 0), "#": (205, 152), "+": (205, 153)}


@dataclass(frozen=True)
class Case:
    """Maps and the labels that a method must give."""

    why: str
    parameters: DecodeParameters
    legend: Legend
    drawing: str
    expected: str

    @property
    def maps(self) -> np.ndarray:
        """(C, Z, Y, X) uint8."""
        values = [[[self.legend[letter] for letter in row] for row in rows] for rows in slices(self.drawing)]
        return np.moveaxis(np.array(values, np.uint8), -1, 0)


def slices(drawing: str) -> list[list[str]]:
    """Return the rows of each slice."""
    lines = [line.split() for line in drawing.strip().split("\n")]
    return [list(rows) for rows in zip(*lines, strict=True)]


def drawn(labels: np.ndarray) -> list[list[str]]:
    """Return labels below ten as the rows of each slice."""
    return [["".join(map(str, row)).replace("0", ".") for row in rows] for rows in labels.tolist()]


def cases(method: str, legend: Legend, *rows: tuple, **common: object) -> list[Case]:
    """Return cases of rows (why, drawing, labels, parameters, more letters); the last two may be left out."""
    made = []
    for why, drawing, expected, *more in rows:
        settings, letters = [*more, {}, {}][:2]
        everything = {"min_size_voxels": 1, "min_seed_voxels": 1, **common, **settings}
        parameters = replace(DecodeParameters(method=method), **everything)
        made.append(Case(why, parameters, legend | letters, drawing, expected))
    return made


CC_MASK = cases(
    "cc",
    MASK,
    (
        "voxels that touch by a corner are one component, within a slice and across slices",
        """
        #..  ...
        .#.  ...
        ...  ..#
        """,
        """
        1..  ...
        .1.  ...
        ...  ..1
        """,
    ),
    (
        "components are numbered by their first voxel: slices first, then rows",
        """
        ..#  ...  ...
        ...  ...  ...
        #..  ...  #.#
        """,
        """
        ..1  ...  ...
        ...  ...  ...
        2..  ...  3.4
        """,
    ),
    ("exactly the minimum size stays, one voxel less goes", "##.###", "...111", {"min_size_voxels": 3}),
    ("without contours there is nothing to join, and no dilation", "#..", "1..", {"as_program": "pytc"}),
)

CC_NEAREST = cases(
    "cc",
    CORE,
    ("a contour that equals the threshold is no core: its voxels join either side", "##++##", "111222"),
    (
        "cores touch by a corner across slices: one component, and all voxels near it join",
        """
        #+  ++
        ++  +#
        """,
        """
        11  11
        11  11
        """,
    ),
    (
        "near is Euclidean: 2 from the right core, the root of 5 from the left; a king needs 2 moves to both",
        """
        #...
        ....
        .+.#
        """,
        """
        1...
        ....
        .2.2
        """,
    ),
    (
        "near is Euclidean: the root of 2 from the lower core, 2 from the upper; a rook counts 2 to both",
        """
        ..#.
        ....
        ..+.
        ...#
        """,
        """
        ..1.
        ....
        ..2.
        ...2
        """,
    ),
    ("of two cores equally near the lower number is joined", "#.+.#", "1.1.2"),
    (
        "the lower number is the core that comes first in raster order, not the one at the left",
        """
        ...#
        ..+.
        .#..
        """,
        """
        ...1
        ..1.
        .2..
        """,
    ),
    ("joined voxels draw in no others: the third one from the core stays out", "#+++", "111."),
    (
        "the window is a square: its corner, the root of 8 away, joins, and 3 along a row does not",
        """
        #..+
        ....
        ..+.
        """,
        """
        1...
        ....
        ..1.
        """,
    ),
    ("the window does not leave the slice", "#.  +.", "1.  .."),
    (
        "background near a core stays background, and does not keep a voxel beyond it from joining",
        "#.+",
        "1.1",
    ),
    (
        "joined voxels count for the size: exactly the minimum stays",
        "##+...#",
        "111....",
        {"min_size_voxels": 3},
    ),
    (
        "a voxel that joined a component too small goes with it, though another core is in reach",
        "#+.###",
        "...111",
        {"min_size_voxels": 3},
    ),
    (
        "however small a component is, what is nearest to it joins no other",
        """
        #+.#########
        ...#########
        ...#########
        """,
        """
        ...111111111
        ...111111111
        ...111111111
        """,
        {"min_size_voxels": 27},
    ),
    (
        "the core gives the number: the first voxel of all joins the second core",
        """
        +...#
        #....
        """,
        """
        2...1
        2....
        """,
    ),
)

CC_PYTC = cases(
    "cc",
    CORE,
    (
        "the window of 5 x 5 is painted, background included, and no other slice",
        """
        ......  ......
        ......  ......
        ..#...  ......
        ......  ......
        ......  ......
        ......  ......
        """,
        """
        11111.  ......
        11111.  ......
        11111.  ......
        11111.  ......
        11111.  ......
        ......  ......
        """,
    ),
    ("where two windows meet the larger number is painted", "#...#...", "1122222."),
    ("the larger number overwrites even the core of the smaller, which leaves no gap", "#.#...", "11111."),
    ("a larger number does not overwrite one of another slice", "#...  ...#", "111.  .222"),
    ("foreground beyond the window is not joined", "#+++", "111."),
    (
        "painted background counts for the size, what the border cuts off does not: 3 voxels, and 5",
        "#......#..",
        ".....11111",
        {"min_size_voxels": 4},
    ),
    (
        "small ones go last: the second core takes two voxels from the first's window, then vanishes",
        "####..#",
        "1111...",
        {"min_size_voxels": 4},
    ),
    (
        "however small a component is, it takes its window from others before it vanishes",
        """
        #########..#
        #########...
        #########...
        """,
        """
        111111111...
        111111111...
        111111111...
        """,
        {"min_size_voxels": 27},
    ),
    as_program="pytc",
)

CASES = [*CC_MASK, *CC_NEAREST, *CC_PYTC]
