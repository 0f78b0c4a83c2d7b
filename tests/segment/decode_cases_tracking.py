"""The cases of `decode_cases` for the tracking of profiles from slice to slice (iou)."""

from __future__ import annotations

from segment.decode_cases import MASK, cases

CASES = cases(
    "iou",
    MASK,
    (
        "voxels that touch by a corner are one profile within a slice, and no link across slices",
        """
        #..  ...
        .#.  ...
        ...  ..#
        """,
        """
        1..  ...
        .1.  ...
        ...  ..2
        """,
    ),
    ("an IoU of exactly 3 / 10 links", "######....  ...#######", "111111....  ...1111111"),
    ("an IoU of 3 / 11 does not", "######.....  ...########", "111111.....  ...22222222"),
    (
        "an IoU of exactly 7 / 25 links at 0.28, though 0.28 times 25 is above 7 in floats",
        """
        #####  .....
        #####  ....#
        #####  #####
        #....  #####
        .....  #####
        """,
        """
        11111  .....
        11111  ....1
        11111  11111
        1....  11111
        .....  11111
        """,
        {"link_iou": 0.28},
    ),
    (
        "at a threshold of 1 only equal profiles are linked",
        "##.#  ##.#  ##..",
        "11.2  11.2  11..",
        {"link_iou": 1},
    ),
    (
        "of two candidates the better one continues, here 4 / 7 before 2 / 7, the other is new",
        "#######  ##.####",
        "1111111  22.1111",
        {"link_iou": 0.2},
    ),
    ("of two candidates equally good the lower number continues", "#######  ###.###", "1111111  111.222"),
    (
        "of two that claim one profile the better one takes it, 5 / 8 before 2 / 10",
        "####.#####  ..########",
        "1111.22222  ..22222222",
        {"link_iou": 0.2},
    ),
    (
        "of two that claim one profile equally the lower number takes it, the other ends",
        "###.###  #######",
        "111.222  1111111",
    ),
    (
        "best first: the left one loses its best, 4 / 11 to 4 / 9, and takes its second, 1 / 6",
        "######.####  #.#########",
        "111111.2222  1.222222222",
        {"link_iou": 0.1},
    ),
    (
        "a branch: one continues, the other is a new instance that goes on by itself",
        "#####  ###.#  ###.#",
        "11111  111.2  111.2",
    ),
    (
        "touching profiles are one: it goes to the better, 3 / 6, and the other comes back as a new instance",
        "###.##  ######  ###.##",
        "111.22  111111  111.33",
    ),
    ("an empty slice ends a chain", "###  ...  ###", "111  ...  222"),
    (
        "profiles without a voxel in common are not linked, whatever the threshold",
        "##..  ..##",
        "11..  ..22",
        {"link_iou": 0},
    ),
    (
        "sizes are those of chains: exactly three voxels stay, two go",
        "#.#  #.#  ..#",
        "..1  ..1  ..1",
        {"min_size_voxels": 3},
    ),
    ("the chain that begins first has the lower number, wherever it goes", "..#  #.#  #.#", "..1  2.1  2.1"),
)
