"""What is done to training patches, and how often. A recipe is a literal table."""

from __future__ import annotations

from typing import Any

Recipe = tuple[tuple[str, float, dict[str, Any]], ...]
"""(name of an augmentation, probability per patch, limits other than its own), in any order."""

MITOEM_2020: Recipe = (
    ("rotate", 1.0, {}),
    ("flip", 1.0, {}),
    ("elastic", 0.75, {}),
    ("grayscale", 0.75, {}),
    ("missing-parts", 0.9, {}),
)

MITOEM_2021: Recipe = (
    *MITOEM_2020,
    ("rescale", 0.5, {}),
    ("missing-section", 0.5, {}),
    ("misalignment", 0.5, {}),
    ("motion-blur", 0.5, {}),
    ("cut-blur", 0.5, {}),
    ("cut-noise", 0.75, {}),
)

STRONG: Recipe = (
    ("rotate", 1.0, {}),
    ("flip", 1.0, {}),
    ("scale", 0.75, {}),
    ("rescale", 0.3, {}),
    ("turn", 0.5, {}),
    ("elastic", 0.5, {}),
    ("missing-section", 0.2, {}),
    ("misalignment", 0.3, {"pixels": 8}),
    ("missing-parts", 0.2, {"share": 0.2}),
    ("motion-blur", 0.2, {}),
    ("myelin", 0.3, {}),
    ("blur", 0.25, {}),
    ("grayscale", 0.75, {"contrast": 0.3, "brightness": 0.2}),
    ("contrast", 0.5, {}),
    ("noise", 0.4, {}),
    ("cut-blur", 0.3, {}),
    ("cut-noise", 0.2, {}),
)

MILD: Recipe = (
    ("rotate", 1.0, {}),
    ("flip", 1.0, {}),
    ("scale", 0.5, {"low": 0.8, "high": 1.25}),
    ("elastic", 0.3, {"alpha": 8.0}),
    ("blur", 0.15, {}),
    ("grayscale", 0.75, {}),
    ("contrast", 0.3, {"octaves": 0.5}),
    ("noise", 0.3, {}),
)

PLAIN: Recipe = (
    ("rotate", 1.0, {}),
    ("flip", 1.0, {}),
    ("scale", 0.5, {"low": 0.8, "high": 1.25}),
    ("elastic", 0.3, {"alpha": 8.0}),
    ("blur", 0.1, {}),
    ("noise", 0.2, {}),
)

SECTIONS: Recipe = (
    *MILD,
    ("missing-section", 0.1, {}),
    ("misalignment", 0.2, {"pixels": 8}),
    ("motion-blur", 0.1, {}),
    ("myelin", 0.4, {}),
)

RECIPES: dict[str, Recipe] = {
    "2020": MITOEM_2020,  # Wei et al., MICCAI 2020
    "2021": MITOEM_2021,  # the update of its baseline: the table of PyTorch Connectomics
    "strong": STRONG,  # ours, to do well on tissue that was not trained on
    "mild": MILD,  # ours, for more of the tissue that was trained on
    "plain": PLAIN,  # ours, for more of the same volume: how dark a body is may tell what it is
    "sections": SECTIONS,  # ours, mild for serial sections: their faults, and myelin, of which few show much
    "none": (),
}
