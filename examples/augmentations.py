"""Draw what each augmentation does to real slices: before above, after below, instances outlined.

Every few slices of the volume are taken for sections, so that the faults of sections show too.

Run: python examples/augmentations.py [RAW LABELS TARGET.png [SEED]]
Without arguments: the sample in examples/data, to examples/augmentations.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mitotools.learn.augment import AUGMENTATIONS, Augmentation
from mitotools.learn.augment.context import Context
from mitotools.learn.augment.patch import apply, draw, margin
from mitotools.learn.augment.recipes import Recipe
from mitotools.learn.normalise import normalisation_of, to_unit
from mitotools.view.slices import Layer, Slice, outlined
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path

EXAMPLES = Path(__file__).parent
SAMPLE = EXAMPLES / "data" / "medulla_train.h5"

SECTION = 3
"""One section stands for so many slices."""

PATCH = (28, 112, 112)

SHOWN_FROM_THE_SIDE = {"missing-section", "misalignment"}

SMALLER = {"missing-parts": {"half_width": 10}, "misalignment": {"pixels": 8}, "scale": {"low": 0.75}}
"""Limits for a patch this small, which a band 129 pixels wide would cover."""

TRIES = 12
"""Shown is what changes a slice most among so many draws: an instance may have found no room."""

COLUMNS, GREYS, DPI = 6, 96, 100


def read(raw: str, labels: str) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float] | None]:
    """Return grey values in 0..1 and instances of one slice in every few, and the size of the voxels."""
    with open_volume(parse_volume_path(raw)) as grey, open_volume(parse_volume_path(labels)) as truth:
        whole = Box.whole(grey.spec.size)
        image = to_unit(grey.read(whole), normalisation_of(grey))
        size = grey.spec.voxel_size_nm
        thick = None if size is None else (SECTION * size[0], size[1], size[2])
        return image[::SECTION], truth.read(whole)[::SECTION], thick


def around(array: np.ndarray, more: tuple[int, ...]) -> np.ndarray:
    """Return the middle of a volume, a patch and more around it, mirrored where the volume is too small."""
    wanted = [p + 2 * m for p, m in zip(PATCH, more, strict=True)]
    missing = [max(w - n, 0) for w, n in zip(wanted, array.shape, strict=True)]
    array = np.pad(array, [(m // 2, m - m // 2) for m in missing], mode="symmetric")
    starts = [(n - w) // 2 for n, w in zip(array.shape, wanted, strict=True)]
    return array[tuple(slice(s, s + w) for s, w in zip(starts, wanted, strict=True))]


def picture(image: np.ndarray, labels: np.ndarray, z: int, *, side: bool) -> np.ndarray:
    """Return one slice in colours, or a cut along z."""
    if not side:
        return outlined(Slice(image[z], [Layer(labels[z])], ""), (0.1, 1.0), image[z].shape)
    stretch = PATCH[1] // PATCH[0]
    cut = [array[:, PATCH[1] // 2].repeat(stretch, axis=0) for array in (image, labels)]
    return outlined(Slice(cut[0], [Layer(cut[1])], ""), (0.1, 1.0), cut[0].shape)


def pair(
    augmentation: Augmentation, context: Context, image: np.ndarray, labels: np.ndarray, seed: int
) -> np.ndarray:
    """Return the slice that an augmentation changes most, before above after."""
    recipe: Recipe = ((augmentation.name, 1.0, SMALLER.get(augmentation.name, {})),)
    tries = [draw(np.random.default_rng([seed, number]), recipe, context) for number in range(TRIES)]
    more = tuple(map(max, *(margin(drawn, PATCH) for drawn in tries)))
    arrays = around(image, more), around(labels, more)
    before = apply([], *arrays, None, PATCH)
    afters = [apply(drawn, *arrays, None, PATCH) for drawn in tries]
    changes = np.array([np.abs(before[0] - after[0]).mean(axis=(1, 2)) for after in afters])
    best, z = np.unravel_index(changes.argmax(), changes.shape)
    sys.stdout.write(f"{tries[best]}\n")
    side = augmentation.name in SHOWN_FROM_THE_SIDE
    return np.concatenate([picture(*of[:2], int(z), side=side) for of in (before, afters[best])])


def montage(pairs: dict[str, np.ndarray], target: Path) -> None:
    """Write all pairs, each under its name, in few colours, so that the file stays small."""
    height, width, _ = next(iter(pairs.values())).shape
    lines = -(-len(pairs) // COLUMNS)
    cell = (height + 22, width + 6)
    figure = Figure(figsize=(COLUMNS * cell[1] / DPI, lines * cell[0] / DPI), dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    for number, (name, pixels) in enumerate(pairs.items()):
        row, column = divmod(number, COLUMNS)
        left, bottom = column * cell[1] + 3, (lines - 1 - row) * cell[0] + 3
        total = (COLUMNS * cell[1], lines * cell[0])
        axes = figure.add_axes((left / total[0], bottom / total[1], width / total[0], height / total[1]))
        axes.set_axis_off()
        axes.imshow(pixels, aspect="auto", interpolation="nearest")
        axes.set_title(name, fontsize=8, loc="left", pad=2)
    canvas.draw()
    colours = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    colours.quantize(GREYS).save(target, optimize=True)


def main() -> None:
    """Draw every augmentation."""
    sample = [f"{SAMPLE}:raw", f"{SAMPLE}:labels", str(EXAMPLES / "augmentations.png"), "1"]
    raw, labels, target, seed = [*sys.argv[1:], *sample[len(sys.argv) - 1 :]]
    image, truth, voxel_size_nm = read(raw, labels)
    context = Context(PATCH, voxel_size_nm)
    montage(
        {
            item.name: pair(item, context, image, truth, int(seed))
            for item in AUGMENTATIONS
            if item.suits(context)
        },
        Path(target),
    )


if __name__ == "__main__":
    main()
