"""Creating volumes, whatever their format."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mitotools import history
from mitotools.errors import MitotoolsError, TargetError, UsageError
from mitotools.locking import lock_file
from mitotools.volume.atomic import appearing, check_file, journal_of, refuse_to_lose
from mitotools.volume.formats import OME_ZARR, Format, format_by_suffix, is_glob, writable_format_of
from mitotools.volume.path import VolumePath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mitotools.conventions import Array
    from mitotools.volume.base import VolumeSpec, Writer
    from mitotools.volume.blocks import Box
    from mitotools.volume.formats.ome_zarr import ZarrWriter


@dataclass(frozen=True)
class OpenWriter:
    """A writer that another process opens for itself when it is sent there.

    Parameters
    ----------
    writer : Writer
    kind : Format
    path : Path or str
        Of the unfinished volume; its URL, where it is behind one.
    target : Path or str
    whole : VolumeSpec
        What the whole volume is.
    level : int
        The resolution that is written.
    """

    writer: Writer
    kind: Format
    path: Path | str
    target: Path | str
    whole: VolumeSpec
    level: int = 0

    @property
    def spec(self) -> VolumeSpec:
        """What the volume is at this level; blocks written are aligned to its `unit`."""
        return self.writer.spec

    def write(self, box: Box, array: Array) -> None:
        """Store the voxels of `box`, all channels."""
        self.writer.write(box, array)

    def close(self) -> None:
        """Finish the file."""
        self.writer.close()

    def at_level(self, level: int) -> OpenWriter:
        """Return the writer of another resolution of an OME-Zarr image."""
        writer = cast("ZarrWriter", self.writer).level(level)
        return replace(self, writer=writer, level=level)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to open the unfinished volume again."""
        whole = replace(self.whole, history=())
        path, target = (
            place.absolute() if isinstance(place, Path) else place for place in (self.path, self.target)
        )
        return _reopened, (self.kind, path, target, whole, self.level)


def _reopened(
    kind: Format, path: Path | str, target: Path | str, whole: VolumeSpec, level: int
) -> OpenWriter:
    module = cast("Any", kind.load())  # that of zarr takes URLs as well
    opened = OpenWriter(module.reopen_writer(path, whole, target), kind, path, target, whole)
    return opened.at_level(level) if level else opened


def planned(target: VolumePath, spec: VolumeSpec) -> VolumeSpec:
    """Return a volume as the format of its target would store it.

    Raises
    ------
    TargetError
        Where the format cannot.
    """
    kind = writable_format_of(target.file)
    if kind is not OME_ZARR and (spec.levels > 1 or spec.shards):
        raise TargetError(str(target), f"{kind.name} has no shards and no levels", "Write a .zarr")
    if target.dataset:  # a label image is of the format of the image around it
        from mitotools.volume.formats.zarr_labels import group_format  # noqa: PLC0415 (zarr loads slowly)

        spec = replace(spec, is_labels=True, zarr_format=group_format(Path(target.file)) or spec.zarr_format)
    if target.is_remote:
        planning: VolumeSpec = cast("Any", kind.load()).planned(spec, target.file)
        return planning
    return kind.load().planned(spec, Path(target.file) if is_glob(target.file) else final_of(target))


@contextmanager
def create_volume(
    target: VolumePath,
    spec: VolumeSpec,
    *,
    force: bool = False,
    is_locked: bool = False,
    is_continued: bool = False,
    is_kept: Callable[[], bool] = lambda: False,
) -> Iterator[OpenWriter]:
    """Create a volume that appears under its name when the block ends without an error.

    Parameters
    ----------
    target : VolumePath
    spec : VolumeSpec
    force : bool
        Replace what is there.
    is_locked : bool
        The caller keeps other runs from it, by its journal.
    is_continued : bool
        Write on into the unfinished volume that an earlier run left.
    is_kept : callable
        Asked after a failure whether the unfinished volume stays, so that another run can continue it.

    Raises
    ------
    TargetError
        Where the target exists and `force` is not given, or cannot be written.
    """
    check_target(target, force=force, resume=is_continued)
    if target.is_remote:
        with _behind_url(target.file, spec, force=force) as writer:
            yield writer
        return
    kind, final = writable_format_of(target.file), final_of(target)
    whole = planned(target, spec)
    module = kind.load()
    if target.dataset:
        final.parent.mkdir(exist_ok=True)  # the image's first labels
    with (
        nullcontext() if is_locked else lock_file(journal_of(final)),
        appearing(final, force=force, is_continued=is_continued, is_kept=is_kept) as path,
    ):
        begin = module.reopen_writer if is_continued else module.create_writer
        opened = begin(path, whole, Path(target.file) if is_glob(target.file) else final)
        try:
            yield OpenWriter(opened, kind, path, final, whole)
        finally:
            opened.close()
        if not kind.has_attributes:
            history.write_sidecar(path, spec.history)
    list_label(target)


def list_label(target: VolumePath) -> None:
    """Add a label image to the list of those of the image around it; any other volume is in none."""
    if target.dataset:
        from mitotools.volume.formats.zarr_labels import register_label  # noqa: PLC0415 (zarr loads slowly)

        register_label(Path(target.file), final_of(target).name)


@contextmanager
def _behind_url(url: str, spec: VolumeSpec, *, force: bool) -> Iterator[OpenWriter]:
    """Create a zarr behind a URL, which cannot be found until all of it is there."""
    from mitotools.volume.formats import ome_zarr, zarr_places  # noqa: PLC0415 (zarr loads slowly)

    whole = ome_zarr.planned(spec, url)
    if force:
        zarr_places.discard(url)
    try:
        writer = ome_zarr.create_writer(url, whole, url)
        yield OpenWriter(writer, OME_ZARR, url, url, whole)
        ome_zarr.publish(url, whole, url)
    except BaseException:
        with suppress(MitotoolsError):  # what went wrong first matters more
            zarr_places.discard(url)
        raise


def check_target(target: VolumePath, *, force: bool = False, resume: bool = False) -> None:
    """Raise TargetError where a volume cannot be created, so that no work is done in vain."""
    if target.is_pipe:
        return
    if target.ranges or target.channels is not None:
        raise TargetError(str(target), "an output is a whole volume, not a crop", f"Write to {target.file}")
    kind = writable_format_of(target.file)
    if target.dataset:
        _check_label(target, kind)
    if target.is_remote:
        _check_url(target, force=force, resume=resume)
        return
    final = final_of(target)
    if not (target.dataset and not final.parent.exists()):
        check_file(final, force=force, resume=resume)
    named = format_by_suffix(final.name)
    if final.is_dir() and named is not None and not named.is_folder:
        raise TargetError(str(final), "is a folder")  # in which slices would be written


def check_apart(outputs: Iterable[Path | None], inputs: Iterable[Path | VolumePath | None] = ()) -> None:
    """Refuse names of which one output would replace another, or an input.

    Parameters
    ----------
    outputs, inputs : iterable of Path or VolumePath
        None: there is none.

    Raises
    ------
    UsageError
    """
    read = {_place(name) for name in inputs if name is not None}
    written: set[Path] = set()
    for name in outputs:
        if name is None:
            continue
        for others, why in ((written, "is to be two files"), (read, "is to be read and written")):
            if _place(name) in others:
                raise UsageError(str(name), why, "Give each output a name of its own")
        written.add(_place(name))


def _place(name: Path | VolumePath) -> Path:
    return Path(name.file if isinstance(name, VolumePath) else name).resolve()


def _check_label(target: VolumePath, kind: Format) -> None:
    """Allow one kind of dataset as output: a label image inside an OME-Zarr image."""
    if kind is not OME_ZARR:
        raise TargetError(str(target), "an output is a whole file", f"Write to {target.file}")
    from mitotools.volume.formats.zarr_labels import (  # noqa: PLC0415 (zarr loads slowly)
        check_label_target,
        group_format,
        label_place,
    )

    if label_place(final_of(target)) is None or target.is_remote:
        why = "an output is a whole zarr, or a label image in one"
        raise TargetError(str(target), why, f"Write to {target.file}, or {target.file}/labels/NAME")
    check_label_target(Path(target.file), group_format(Path(target.file)) or 0)


def _check_url(target: VolumePath, *, force: bool, resume: bool) -> None:
    from mitotools.volume.formats.zarr_labels import listed_labels  # noqa: PLC0415 (zarr loads slowly)
    from mitotools.volume.formats.zarr_places import state  # noqa: PLC0415 (zarr loads slowly)

    found = state(target.file)
    if found == "complete" and not (force or resume):
        raise TargetError(str(target), "exists already", "Use --force to replace it")
    if found == "complete" and force:
        refuse_to_lose(target.file, listed_labels(target.file))
    if found == "unfinished" and not force:
        why = "another run is writing this output, or was killed"
        raise TargetError(str(target), why, "What is behind a URL cannot be continued: use --force")


def exists(target: VolumePath) -> bool:
    """Whether a volume is there, complete."""
    if not target.is_remote:
        return final_of(target).exists()
    from mitotools.volume.formats.zarr_places import state  # noqa: PLC0415 (zarr loads slowly)

    return state(target.file) == "complete"


def final_of(target: VolumePath) -> Path:
    """Return the file or folder that a volume will be."""
    path = Path(target.file)
    if target.dataset:
        return path / target.dataset
    return path.parent if is_glob(path.name) else path
