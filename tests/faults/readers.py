"""Files of every kind that commands read, what to damage of them, and the commands."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import h5py
import mrcfile
import nibabel
import numpy as np
import tensorstore
import tifffile
import torch
import zarr
from map_phantoms import mask_contour_maps
from phantom import phantom
from PIL import Image
from stages.networks import write_model

from mitotools.cli.main import run
from mitotools.learn.models import build
from mitotools.stages.train import _Telling

RAW, LABELS = phantom((12, 32, 40), 1)


class Reader(NamedTuple):
    """A kind of file.

    Parameters
    ----------
    make : callable
        Writes it, and what belongs to it, into the working folder.
    damaged : str
        A pattern of the files that are damaged, one at a time.
    lines : list of str
        The command lines that read it.
    share : float
        Its share of the inputs, where a reader reads several kinds of files.
    """

    make: Callable[[], object]
    damaged: str
    lines: list[str]
    share: float = 1.0

    def numbers(self, first: int, count: int) -> range:
        """Return the numbers of its inputs, of those of a reader."""
        return range(int(first * self.share), int((first + count) * self.share))


def save_hdf5(raw: np.ndarray = RAW) -> None:
    with h5py.File("v.h5", "w") as file:
        data = file.create_dataset("main", data=raw, chunks=(4, 16, 40), compression="gzip")
        data.attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)
        data.attrs["mitotools"] = '[{"command_line": "x", "parameters": {}, "inputs": []}]'


def save_precomputed() -> None:
    Path("v.h5").unlink(missing_ok=True)
    save_hdf5()
    assert run(["convert", "v.h5", "v.precomputed", "-q"]) == 0


def save_mrc() -> None:
    with mrcfile.new("v.mrc", overwrite=True) as file:
        file.set_data(RAW.astype(np.int16))


def save_tiles() -> None:
    save_model([4])
    assert run(["tile", "v.h5", "plan.json", "--size", "12,32,20", "-q"]) == 0


def save_labels() -> None:
    with h5py.File("labels.h5", "w") as file:
        file.create_dataset("main", data=LABELS)
        file["main"].attrs["voxel_size_nm"] = (30.0, 8.0, 8.0)


def save_scores() -> None:
    save_labels()
    ids = np.unique(LABELS)[1:]
    Path("s.tsv").write_text("id\tscore\n" + "".join(f"{number}\t.{number}\n" for number in ids))


def save_edits() -> None:
    save_labels()
    Path("edits.txt").write_text("merge 1 2\ndelete 3\nsplit 4 5\n")


def save_model(filters: list[int]) -> None:
    save_hdf5()
    write_model(Path("m.safetensors"), patch=(8, 32, 32), voxel_size_nm=(30.0, 8.0, 8.0), filters=filters)


def save_checkpoint() -> None:
    save_hdf5()
    network = build("pytc-unet", {"in_channels": 1, "out_channels": 2, "filters": [2, 2, 2, 2, 2]})
    torch.save({"state_dict": network.state_dict()}, "m.pth.tar")


TRAIN = (
    "train v.h5 labels.h5 m.safetensors --iterations 2 --batch 1 --patch 8,16,16 --set filters=2,4 "
    "--set norm=group --recipe none --device cpu --set loaders=0 --log log"
)


def save_training() -> None:
    save_hdf5()
    save_labels()
    with patch("mitotools.stages.train._Telling.saved", ends_after(_Telling.saved)):
        assert run([*TRAIN.split(), "-q"]) == 130


def ends_after(save: Callable[..., None]) -> Callable[..., None]:
    """Return a function that saves, and is interrupted."""

    def saved(*words: object) -> None:
        save(*words)
        raise KeyboardInterrupt

    return saved


CONVERT = "convert v.zarr w.zarr --chunks 4,32,40"


def save_unfinished() -> None:
    zarr.create_array("v.zarr", data=RAW, chunks=(4, 32, 40))
    last = Path("v.zarr/c/2/0/0")
    whole = last.read_bytes()
    last.write_bytes(b"broken")
    with patch("mitotools.run.budget.PREFERRED_BYTES", 4 * 32 * 40):
        assert run([*CONVERT.split(), "-q", "-t", "1"]) == 1
    last.write_bytes(whole)


def save_part() -> None:
    save_model([4])
    assert run([*PREDICT_PART.split(), "1/2", "-q"]) == 0


PREDICT_PART = "predict v.h5 maps.zarr -m m.safetensors --backend torch --part"


def save_n5() -> None:
    store = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": "v.n5/"},
        "metadata": {
            "dimensions": RAW.shape[::-1], "blockSize": (40, 32, 6), "dataType": "uint8",
            "compression": {"type": "gzip"},
        },
    }  # fmt: skip
    tensorstore.open(store, create=True).result().write(RAW.T).result()


def save_tile_set() -> None:
    z, y, x = RAW[:4].shape
    for number, plane in enumerate(RAW[:4]):
        Image.fromarray(plane).save(f"{number}.png")
    content = {
        "image": [f"{number}.png" for number in range(z)], "depth": z, "height": y, "width": x,
        "tile_size": y, "tile_st": [0, 0], "tile_ratio": 1, "dtype": "uint8", "ndim": 1,
    }  # fmt: skip
    Path("v.json").write_text(json.dumps(content))


def save_table(name: str) -> Callable[[], None]:
    def save() -> None:
        save_labels()
        assert run(["stats", "labels.h5", "-o", name, "-q"]) == 0

    return save


def save_sidecar() -> None:
    save_hdf5()
    assert run(["view", "v.h5", "-o", "v.png", "-q"]) == 0


def save_overlap() -> None:
    save_labels()
    assert run(["evaluate", "labels.h5", "labels.h5", "--save-overlap", "o.overlap", "-q"]) == 0


def save_report() -> None:
    save_labels()
    report = io.StringIO()
    with contextlib.redirect_stdout(report):
        assert run(["evaluate", "labels.h5", "labels.h5", "--format", "json", "-q"]) == 0
    Path("r.json").write_text(report.getvalue())


def save_options() -> None:
    with h5py.File("maps.h5", "w") as file:
        file["main"] = mask_contour_maps(LABELS)
    Path("o.toml").write_text(
        '[decode]\nmethod = "mw"\nforeground = 0.75\nseed-contour = 0.3\nmin-size = 100\n'
    )


def save_slices() -> None:
    save_hdf5(RAW[:4])
    assert run(["convert", "v.h5", "slices", "-q"]) == 0
    Path("slices").rename("v.slices")  # which is no name of a model: those take long to look up


def save_zarr(version: int) -> Callable[[], None]:
    def save() -> None:
        save_hdf5()
        options = ["--zarr-format", str(version), "--levels", "2", "--chunks", "6,32,20"]
        assert run(["convert", "v.h5", "v.zarr", "-q", *options]) == 0

    return save


def save_plain_zarr() -> None:
    zarr.create_array("v.zarr", data=RAW, chunks=(6, 16, 20), shards=(12, 32, 20))


def save_nifti(name: str) -> Callable[[], None]:
    def save() -> None:
        nibabel.save(nibabel.Nifti1Image(RAW.T, np.diag([8, 8, 30, 1])), name)

    return save


def save_tiff(**properties: object) -> Callable[[], None]:
    return lambda: tifffile.imwrite("v.tif", RAW, **properties)


def reads(name: str) -> list[str]:
    return [f"info {name} --history", f"convert {name} out.npy"]


READERS = {
    "HDF5": Reader(save_hdf5, "v.h5", reads("v.h5")),
    "zarr 3": Reader(save_zarr(3), "v.zarr/**/*", reads("v.zarr"), 1 / 4),
    "zarr 2": Reader(save_zarr(2), "v.zarr/**/*", reads("v.zarr"), 1 / 4),
    "zarr metadata": Reader(save_zarr(3), "v.zarr/**/zarr.json", reads("v.zarr"), 1 / 4),
    "sharded zarr": Reader(save_plain_zarr, "v.zarr/**/*", reads("v.zarr"), 1 / 4),
    "OME-TIFF": Reader(save_tiff(ome=True, compression="zlib"), "v.tif", reads("v.tif"), 1 / 2),
    "ImageJ": Reader(save_tiff(imagej=True), "v.tif", reads("v.tif"), 1 / 2),
    "slices": Reader(save_slices, "v.slices/*", reads("v.slices")),
    "NIfTI": Reader(save_nifti("v.nii"), "v.nii", reads("v.nii"), 1 / 2),
    "gzipped NIfTI": Reader(save_nifti("v.nii.gz"), "v.nii.gz", reads("v.nii.gz"), 1 / 2),
    "MRC": Reader(save_mrc, "v.mrc", reads("v.mrc")),
    "NumPy": Reader(lambda: np.save("v.npy", RAW), "v.npy", reads("v.npy")),
    "precomputed": Reader(save_precomputed, "v.precomputed/**/*", reads("v.precomputed")),
    "plan": Reader(
        save_tiles, "plan.json",
        # Not for real: a plan of thousands of tiles is none the worse for it.
        ["info plan.json", "predict plan.json tiles -m m.safetensors --backend torch --dry-run"],
    ),
    "scores": Reader(
        save_scores, "s.tsv",
        ["evaluate labels.h5 labels.h5 --scores s.tsv", "filter labels.h5 out.npy --keep-ids s.tsv"],
    ),
    "edits": Reader(save_edits, "edits.txt", ["filter labels.h5 out.npy --edits edits.txt"]),
    "model": Reader(
        partial(save_model, [4, 8]), "m.safetensors",
        ["info m.safetensors", "predict v.h5 out.npy -m m.safetensors --backend torch"], 1 / 2,
    ),
    "checkpoint": Reader(
        save_checkpoint, "m.pth.tar",
        ["predict v.h5 out.npy -m m.pth.tar --as pytc --backend torch --dry-run"], 0.3,
    ),
    "training": Reader(save_training, "m.safetensors.unfinished*", [f"{TRAIN} --resume"], 0.1),
    "training log": Reader(save_training, "log/training.tsv", [f"{TRAIN} --resume"], 0.1),
    "journal": Reader(save_unfinished, "w.zarr.unfinished.journal", [f"{CONVERT} --resume"], 0.4),
    "unfinished": Reader(save_unfinished, "w.zarr.unfinished/**/zarr.json", [f"{CONVERT} --resume"], 0.4),
    "part": Reader(save_part, "*parts*/**/*", [f"{PREDICT_PART} 2/2"], 0.2),
    "N5": Reader(save_n5, "v.n5/**/*", reads("v.n5")),
    "tile set": Reader(save_tile_set, "v.json", reads("v.json")),
    "table": Reader(save_table("t.tsv"), "t.tsv", ["info t.tsv"], 1 / 4),
    "CSV table": Reader(save_table("t.csv"), "t.csv", ["info t.csv"], 1 / 4),
    "JSON table": Reader(save_table("t.json"), "t.json", ["info t.json"], 1 / 4),
    "Parquet table": Reader(save_table("t.parquet"), "t.parquet", ["info t.parquet"], 1 / 4),
    "history": Reader(save_sidecar, "v.png.history.json", ["info v.png --history"]),
    "overlap": Reader(save_overlap, "o.overlap", ["evaluate o.overlap"]),
    "report": Reader(save_report, "r.json", ["evaluate --combine r.json r.json"]),
    "options": Reader(save_options, "o.toml", ["decode maps.h5 out.npy --config o.toml"]),
}  # fmt: skip
