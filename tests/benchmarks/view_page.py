"""Promise: a page of 500 slices takes little memory to write and to open.

Written is the page of a volume of 500 x 1024 x 1024 voxels (the sample, mirrored) with its labels, and opened
in Debian's chromium. Printed are the time and the peak memory of writing, with the volume's own size to
compare, the size of the page, the time until its first slice is drawn, and that of a slice on average.

Run: python tests/benchmarks/view_page.py FOLDER
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import h5py
import numpy as np
from process_tree import measured

SHAPE = (500, 1024, 1024)
SAMPLE = Path(__file__).parent.parent.parent / "examples" / "data" / "medulla_train.h5"
LOOKED_AT = 40


def write_volumes(folder: Path) -> None:
    """Write raw.h5 and labels.h5; of every copy of the sample, the instances have ids of their own."""
    with h5py.File(SAMPLE) as sample:
        arrays = {name: sample[name][:] for name in ("raw", "labels")}
    copies = [-(-n // m) for n, m in zip(SHAPE, arrays["raw"].shape, strict=True)]
    for name, array in arrays.items():
        mirrored = np.pad(array, [(0, n - m) for n, m in zip(SHAPE, array.shape, strict=True)], "symmetric")
        if name == "labels":
            mirrored = mirrored.astype(np.uint32)
            cells = [
                np.minimum(np.arange(n) // m, c - 1)
                for n, m, c in zip(SHAPE, array.shape, copies, strict=True)
            ]
            number = (cells[0][:, None, None] * copies[1] + cells[1][:, None]) * copies[2] + cells[2]
            mirrored[mirrored > 0] += (number * (array.max() + 1)).astype(np.uint32)[mirrored > 0]
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.create_dataset(
                "main", data=mirrored, chunks=(32, 128, 128), compression="gzip", compression_opts=1
            )
            file["main"].attrs["voxel_size_nm"] = [10.0, 10.0, 10.0]


def opened(page: Path) -> tuple[float, float]:
    """Return the seconds until the first slice is drawn, and those of each of the next ones."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1366, "height": 768})
        start = time.perf_counter()
        tab.goto(page.absolute().as_uri())
        tab.wait_for_selector("#picture[data-slice='0']")
        first = time.perf_counter()
        for number in range(1, LOOKED_AT + 1):
            tab.keyboard.press("ArrowDown")
            tab.wait_for_selector(f"#picture[data-slice='{number}']")
        end = time.perf_counter()
        browser.close()
    return first - start, (end - first) / LOOKED_AT


def main() -> None:
    """Print the table."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "labels.h5").exists():
        write_volumes(folder)
    page = folder / "page.html"
    used = measured(
        ["view", folder / "raw.h5", folder / "labels.h5", "-o", page, "--force", "--memory", "2G", "-q"]
    )
    voxels = np.prod(SHAPE)
    print(f"written in {used.seconds:.0f} s ({voxels / used.seconds / 1e6:.1f} Mvoxel/s)")
    print(f"peak memory {used.peak_bytes / 2**20:.0f} MiB; the volumes take {5 * voxels / 2**20:.0f} MiB")
    print(
        f"page of {page.stat().st_size / 1e6:.0f} MB, {page.stat().st_size / SHAPE[0] / 1e3:.0f} kB a slice"
    )
    first, each = opened(page)
    print(f"first slice after {first:.1f} s, the next ones {each:.2f} s each")


if __name__ == "__main__":
    main()
