"""The cases of `decode_cases` for the watershed, without (mw) and with a distance (bcd)."""

from __future__ import annotations

from segment.decode_cases import Legend, cases

# Seeds have a mask above 216, a contour below 153, a distance above 191; foreground a mask above 204 and a
# distance above 127.
SEED: Legend = {".": (204, 0), "S": (217, 0), "p": (210, 0), "M": (210, 100)}
DISTANCE: Legend = {
    ".": (0, 0, 0),
    "S": (217, 152, 192),
    "m": (216, 152, 192),
    "c": (217, 153, 192),
    "d": (217, 152, 191),
    "f": (205, 255, 128),
    "x": (255, 0, 127),
}

MW_MASK = cases(
    "mw",
    SEED,
    ("the contour does not shape the flood: on a plateau fronts meet midway", "SpMppppS", "11112222"),
    (
        "the contour does not delay a marker: 255 is flooded before 220",
        "ApB",
        "112",
        {},
        {"A": (255, 150), "B": (220, 0)},
    ),
)

MW_MASK_CONTOUR = cases(
    "mw",
    SEED,
    (
        "fronts meet at the membrane, which is flooded last, from the side that reached it",
        "SpMppppS",
        "11122222",
    ),
    (
        "a membrane parts two profiles that the mask alone would divide to the right of it",
        """
        .........
        .SpMppppp
        .SpMppppS
        .ppMppppp
        """,
        """
        .........
        .11122222
        .11122222
        .11122222
        """,
    ),
    (
        "a marker under a contour waits: 255 - 150 is flooded after 220",
        "ApB",
        "122",
        {},
        {"A": (255, 150), "B": (220, 0)},
    ),
    (
        "a contour above the mask is 0, the last of all; it does not wrap around to 211",
        "SbpppS",
        "112222",
        {},
        {"b": (210, 255)},
    ),
    (
        "contours above the mask are all 0: of 210 - 250 and 210 - 215 the one that entered first goes first",
        "SamcS",
        "11122",
        {},
        {"a": (210, 250), "m": (206, 0), "c": (210, 215)},
    ),
    (
        "the foreground is that of the mask: a level of 0 is flooded too, 204 is not",
        "Sb.",
        "11.",
        {},
        {"b": (205, 255)},
    ),
    landscape="mask-contour",
)

BCD = cases(
    "bcd",
    DISTANCE,
    (
        "a distance of exactly the threshold is no seed: two markers, and the first floods the gap",
        "SdS",
        "112",
    ),
    ("a mask of exactly the threshold is no seed", "SmS", "112"),
    ("a contour of exactly the threshold is no seed", "ScS", "112"),
    ("without a seed there is no instance", "dmc", "..."),
    ("seeds touch by corners", "S.\n.S", "1.\n.1"),
    (
        "x has the highest mask and no distance: not foreground, and what is behind it is not reached",
        "Sxf",
        "1..",
    ),
    ("a distance just above the threshold is flooded whatever its contour", "Sff", "111"),
    (
        "a seed distance of 0.6 is 204 exactly, and 204 is not above it",
        "a.b",
        "..1",
        {"seed_distance": 0.6},
        {"a": (217, 0, 204), "b": (217, 0, 205)},
    ),
    (
        "a foreground distance of -0.2 is 102 exactly, and 102 is not above it",
        "aSb",
        ".11",
        {"foreground_distance": -0.2},
        {"a": (205, 0, 102), "b": (205, 0, 103)},
    ),
    (
        "a foreground distance of -1 leaves out 0 only",
        "aSb",
        ".11",
        {"foreground_distance": -1},
        {"a": (205, 0, 0), "b": (205, 0, 1)},
    ),
    (
        "the mask orders the flood: l at 215 goes before r at 210, whose distance is larger",
        "SlmrS",
        "11122",
        {},
        {"l": (215, 0, 130), "m": (206, 0, 130), "r": (210, 0, 190)},
    ),
    (
        "a marker's voxels outside the foreground count for the size of the marker",
        "pS..S",
        ".1...",
        {"seed_distance": -0.2, "foreground_distance": 0.5, "min_seed_voxels": 2},
        {"p": (217, 0, 150)},
    ),
    (
        "a marker's voxels outside the foreground do not count for the size of the instance",
        "pS..SS",
        "....11",
        {"seed_distance": -0.2, "foreground_distance": 0.5, "min_size_voxels": 2},
        {"p": (217, 0, 150)},
    ),
    (
        "a marker's voxel outside the foreground gives the number",
        """
        p..S
        S...
        """,
        """
        ...2
        1...
        """,
        {"seed_distance": -0.2, "foreground_distance": 0.5},
        {"p": (217, 0, 150)},
    ),
    (
        "a membrane stops the fronts where the landscape is mask-contour",
        "SpMppppS",
        "11122222",
        {"landscape": "mask-contour"},
        {"S": (217, 0, 192), "p": (210, 0, 130), "M": (210, 100, 130)},
    ),
)

CASES = [*MW_MASK, *MW_MASK_CONTOUR, *BCD]
