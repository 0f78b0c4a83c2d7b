"""The commands on arrays in memory, for notebooks: `import mitotools`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.conventions import DEFAULT_MODEL
from mitotools.errors import InputError
from mitotools.learn.installed import model_file
from mitotools.learn.metadata import read_metadata
from mitotools.parameters import DecodeParameters, EvaluateParameters, PredictParameters
from mitotools.run.running import Running
from mitotools.segment.decoders import decoder
from mitotools.segment.measures.instance_tables import table_columns
from mitotools.segment.scores.overlap import overlap_of_block
from mitotools.stages.decoding.maps import as_uint8
from mitotools.stages.evaluate import scores
from mitotools.stages.measuring.one_pass import all_tables
from mitotools.temporary import temporary_folder
from mitotools.volume.arrays import volume_of
from mitotools.volume.base import VolumeSpec
from mitotools.volume.blocks import Box
from mitotools.volume.files import open_volume
from mitotools.volume.outputs import create_volume
from mitotools.volume.path import parse_volume_path

if TYPE_CHECKING:
    from mitotools.conventions import Array, Labels, Maps, VoxelSize


def read(name: str | Path) -> tuple[Array, VoxelSize | None]:
    """Read a volume of any format.

    Parameters
    ----------
    name : str or Path
        As on the command line: ``FILE[:DATASET][CROP]``.

    Returns
    -------
    array : (Z, Y, X) or (C, Z, Y, X) array
    voxel_size_nm : (z, y, x) nanometres, or None
        None where it is unknown.

    Raises
    ------
    InputError

    Examples
    --------
    >>> raw, voxel_size_nm = read("examples/data/medulla_test.h5:raw[0:10,:,:]")
    >>> raw.shape, voxel_size_nm
    ((10, 160, 160), (10.0, 10.0, 10.0))
    """
    with open_volume(parse_volume_path(str(name))) as volume:
        return volume.read(Box.whole(volume.spec.size)), volume.spec.voxel_size_nm


def write(
    name: str | Path,
    array: Array,
    voxel_size_nm: VoxelSize | None = None,
    *,
    labels: bool = False,
    force: bool = False,
) -> None:
    """Write a volume in the format that its name says.

    Parameters
    ----------
    name : str or Path
    array : (Z, Y, X) or (C, Z, Y, X) array
    voxel_size_nm : (z, y, x) nanometres, optional
    labels : bool
        Voxels are ids, which OME-Zarr marks as such.
    force : bool
        Replace what is there.

    Raises
    ------
    InputError, TargetError

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write(f"{folder}/labels.tif", np.zeros((4, 8, 8), np.uint16), (30.0, 8.0, 8.0))
    >>> read(f"{folder}/labels.tif")[1]
    (30.0, 8.0, 8.0)
    """
    array = np.asarray(array)
    if array.ndim not in (3, 4):
        raise InputError("the array", f"has shape {array.shape}, expected (z, y, x) or (c, z, y, x)")
    spec = VolumeSpec(array.shape, array.dtype, voxel_size_nm, is_labels=labels)
    with create_volume(parse_volume_path(str(name)), spec, force=force) as writer:
        writer.write(Box.whole(spec.size), array)


def predict(
    raw: Array, model: str | Path = DEFAULT_MODEL, voxel_size_nm: VoxelSize | None = None, **options: Any
) -> Maps:
    """Apply a model.

    Parameters
    ----------
    raw : (Z, Y, X) array
        Grey values.
    model : str or Path
        A file, or the name of an installed model; by default the one that comes with mitotools.
    voxel_size_nm : (z, y, x) nanometres, optional
        Where it differs much from that of the training, the array is resampled.
    **options
        Of `mitotools.parameters.PredictParameters`: tta=8, overlap=0.25, dtype="uint8", ...

    Returns
    -------
    (C, Z, Y, X) uint8
        floor(255 p) of each channel, or what ``dtype`` says.

    Raises
    ------
    InputError, ModelError, UsageError
    """
    from mitotools.stages.predict import predict_volume  # noqa: PLC0415 (torch loads slowly)

    with temporary_folder() as folder:
        source, target = (parse_volume_path(f"{folder}/{name}.h5") for name in ("raw", "maps"))
        write(str(source), raw, voxel_size_nm)
        predict_volume(source, target, Path(model), PredictParameters(**options), Running())
        return read(str(target))[0]


def decode(
    maps: Array, model: str | Path | None = None, voxel_size_nm: VoxelSize | None = None, **options: Any
) -> Labels:
    """Split maps into instances.

    Parameters
    ----------
    maps : (C, Z, Y, X) array of uint8, or of floats in 0..1
        Mask and contour, or what the method needs.
    model : str or Path, optional
        That made the maps: what is not among the options is what suits its maps. Arrays do not say it, as
        files do.
    voxel_size_nm : (z, y, x) nanometres, optional
        Where it is not that of the training, the model's numbers of voxels stand for the same volumes.
    **options
        Of `mitotools.parameters.DecodeParameters`: method="mw", foreground=0.8, min_size_voxels=1024, ...

    Returns
    -------
    (Z, Y, X) unsigned integer
        1..n, and 0 outside.

    Raises
    ------
    InputError, ModelError, UsageError

    Examples
    --------
    >>> maps = np.zeros((2, 8, 8, 16))
    >>> maps[0, 2:6, 2:6, 2:6] = maps[0, 2:6, 2:6, 10:14] = 0.95
    >>> int(decode(maps, min_size_voxels=10).max())
    2
    """
    maps = np.asarray(maps)
    if maps.dtype.kind == "f":
        maps = as_uint8(maps, "maps")
    if model is not None:
        options = {**read_metadata(model_file(Path(model))).decode_at(voxel_size_nm), **options}
    parameters = DecodeParameters(**options)
    return decoder(parameters.method).decode(maps, parameters)


def evaluate(prediction: Array, truth: Array, **options: Any) -> dict[str, Any]:
    """Score predicted instances against true ones.

    Parameters
    ----------
    prediction, truth : (Z, Y, X) integer
    **options
        Of `mitotools.parameters.EvaluateParameters`: protocol="challenge2021", bootstrap=1000, ...

    Returns
    -------
    dict
        As ``mitotools evaluate --format json`` prints it.

    Raises
    ------
    InputError, UsageError

    Examples
    --------
    >>> truth = np.zeros((4, 10, 10), np.uint8)
    >>> truth[:, :5], truth[:, 6:] = 1, 2
    >>> report = evaluate(np.where(truth == 1, 7, 0), truth)
    >>> report["detection"]["0.75"]["all"]["recall"]
    0.5
    """
    return scores(overlap_of_block(np.asarray(prediction), np.asarray(truth)), EvaluateParameters(**options))


def stats(
    labels: Array, voxel_size_nm: VoxelSize | None = None, raw: Array | None = None
) -> dict[str, Array | None]:
    """Measure instances.

    Parameters
    ----------
    labels : (Z, Y, X) integer
    voxel_size_nm : (z, y, x) nanometres, optional
        Without it, what has a physical unit is None.
    raw : (Z, Y, X) uint8 or uint16, optional
        Adds the intensity of each instance.

    Returns
    -------
    dict of str to (N,) array or None
        The columns of ``mitotools stats``, a row an instance: `pandas.DataFrame` takes it.

    Raises
    ------
    InputError

    Examples
    --------
    >>> labels = np.zeros((4, 10, 10), np.uint8)
    >>> labels[:, :5] = 3
    >>> table = stats(labels, (30.0, 8.0, 8.0))
    >>> table["id"].tolist(), table["voxels"].tolist()
    ([3], [200])
    """
    volume = volume_of(np.asarray(labels), voxel_size_nm, "labels")
    image = None if raw is None else volume_of(np.asarray(raw), voxel_size_nm, "raw")
    return table_columns(all_tables(volume, Running(), "stats", image), voxel_size_nm)
