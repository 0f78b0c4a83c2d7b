"""One volume that several runs write, a part each, without knowing of each other.

It lies in a folder with a journal a part, and a file for each part that is complete, so that none of them is
ever taken for that of another volume; the run that completes the set gives the volume its name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from mitotools.errors import TargetError, UsageError
from mitotools.interruption import uninterrupted
from mitotools.run.journal import continued_journal, entries, new_journal
from mitotools.stages.blocks.blockwise import fill, plan_of
from mitotools.stages.blocks.planning import check_disk, needs
from mitotools.stages.blocks.resuming import check_same, is_made, made_of
from mitotools.volume.atomic import parts_of, remove, unfinished_of
from mitotools.volume.blocks import Box, size3
from mitotools.volume.formats import OME_ZARR, format_of
from mitotools.volume.outputs import OpenWriter, check_target, final_of, planned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mitotools.conventions import Size
    from mitotools.run.running import Running
    from mitotools.stages.blocks.work import Work
    from mitotools.volume.base import VolumeSpec
    from mitotools.volume.path import VolumePath

_MADE = "made.json"
DELETE = "Delete that folder, and run all parts again"

Item = TypeVar("Item")


@dataclass(frozen=True)
class Part:
    """Number `number` of `count` parts of the work, counted from 1."""

    number: int
    count: int

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this part's items, which follow each other."""
        return items[len(items) * (self.number - 1) // self.count : len(items) * self.number // self.count]

    def box(self, size: Size, unit: Size) -> Box:
        """Return this part's extent of a volume, in whole units; empty where there are more parts than units.

        The volume is cut across its longest axis into two, and so on: parts are about as large, and compact,
        since what lies around them is computed more than once.
        """
        box, first, count = Box.whole(size), 0, self.count
        while count > 1:
            axis = max(range(3), key=lambda a: (-(-box.shape[a] // unit[a]) > 1, box.shape[a]))
            units = -(-box.shape[axis] // unit[axis])
            lower = count // 2
            middle = min(box.start[axis] + units * lower // count * unit[axis], box.stop[axis])
            if self.number - 1 < first + lower:
                box = Box(box.start, _with(box.stop, axis, middle))
                count = lower
            else:
                box = Box(_with(box.start, axis, middle), box.stop)
                first, count = first + lower, count - lower
        return box


WHOLE = Part(1, 1)
"""All of the work."""


def _with(corner: Size, axis: int, value: int) -> Size:
    return size3([value if a == axis else c for a, c in enumerate(corner)])


def write_part(target: VolumePath, spec: VolumeSpec, work: Work, running: Running, part: Part) -> VolumeSpec:
    """Write a part of a volume, or continue it; where it is the last one, the volume is complete.

    Parameters
    ----------
    target : VolumePath
        A zarr (see `check_shared`).
    spec : VolumeSpec
        Of the whole volume.
    work : Work
    running : Running
    part : Part

    Returns
    -------
    VolumeSpec
        Of the whole volume, as it is stored.

    Raises
    ------
    TargetError
        Where the volume is there, made otherwise, another run writes this part, or another part was begun
        with other parameters or inputs.
    UsageError
    """
    check_shared(target, running)
    spec = planned(target, spec)
    final = final_of(target)
    if is_made(target, spec.history, running, "Delete it first"):
        if _is_emptied(parts_of(final)):  # by a run that was killed then
            remove(parts_of(final))
        return spec
    box = part.box(spec.size, spec.unit)
    size_here = replace(spec, shape=spec.shape[:-3] + box.shape)
    if running.dry_run:
        plans = [] if box.is_empty else [plan_of(work, size_here, running, None)]
        running.dry_run(needs(target, size_here, plans) if plans else {"target": str(target), "blocks": "0"})
        return spec
    check_disk(target, size_here.nbytes, spec.compression)
    what = made_of(spec.history, shape=spec.shape, type=str(spec.dtype), unit=spec.unit, parts=part.count)
    folder = _joined(target, spec, what)
    volume, kind = _volume_in(folder, final), format_of(target.file)
    try:
        writer = OpenWriter(kind.load().reopen_writer(volume, spec, final), kind, volume, final, spec)
    except TargetError as error:
        raise TargetError(str(folder), error.why, DELETE) from error
    journal_file = folder / f"{part.number}.journal"
    is_begun = bool(entries(journal_file))
    if is_begun and not running.resume:
        raise TargetError(str(journal_file), f"part {part.number} is begun", "Use --resume to continue")
    with continued_journal(journal_file) if is_begun else new_journal(journal_file, what) as journal:
        if not box.is_empty:
            with running.engine() as engine:
                plan = plan_of(work, size_here, running, engine)
                fill(writer, work, plan, engine, running, journal, box)
        writer.close()
        (folder / f"{part.number}.done").touch()
        _finish(final, folder, part.count)
    return spec


def check_shared(target: VolumePath, running: Running) -> None:
    """Raise an error where several runs cannot write a volume together, so that none begins in vain.

    Raises
    ------
    TargetError
        Where it is there, and the run is not to recognise it.
    UsageError
        Where it is no zarr, which alone carries its history from the first part on, or is to be replaced.
    """
    if target.is_remote or format_of(target.file) is not OME_ZARR:
        why = f"several runs cannot write {target} together"
        raise UsageError("--part", why, "Write a .zarr, or give a PLAN of 'mitotools tile'")
    if running.force:
        raise UsageError(
            "--force", "the parts before would be lost with each part", "Delete the output first"
        )
    check_target(target, resume=True)
    final = final_of(target)
    unfinished = unfinished_of(final)
    if final.exists() and not running.resume:
        raise TargetError(str(final), "exists already", "Delete it first, or say --resume")
    if unfinished.exists():
        why = "another run is writing all of this output, or was killed"
        raise TargetError(str(unfinished), why, "Continue that one, or delete it first")


def _joined(target: VolumePath, spec: VolumeSpec, what: dict[str, object]) -> Path:
    """Return the folder of the parts, made by the first one; refuse to join others.

    Raises
    ------
    TargetError
    """
    final = final_of(target)
    folder = parts_of(final)
    if not folder.exists():
        # Of parts that start together one gives it its name, complete.
        new = folder.with_name(f"{folder.name}.{uuid4().hex}")
        with uninterrupted():
            new.mkdir()
            try:
                (new / _MADE).write_text(json.dumps(what))
                format_of(target.file).load().create_writer(_volume_in(new, final), spec, final).close()
                new.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
            finally:
                remove(new)
    check_same(final, _made(folder), json.loads(json.dumps(what)), "Delete what there is first")
    if not _volume_in(folder, final).exists():
        raise TargetError(str(folder), "has lost its volume", DELETE)
    return folder


def _made(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / _MADE).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise TargetError(str(folder / _MADE), f"cannot be read ({error})", DELETE) from error
    return found if isinstance(found, dict) else {}


def _volume_in(folder: Path, final: Path) -> Path:
    return folder / unfinished_of(final).name


def _is_emptied(folder: Path) -> bool:
    """Whether all parts are done, and the volume has left for its name."""
    return (folder / _MADE).exists() and not any(entry.is_dir() for entry in folder.iterdir())


def _finish(final: Path, folder: Path, count: int) -> None:
    """Give the volume its name, where no part is missing; of two that find so, one does."""
    if all((folder / f"{number}.done").exists() for number in range(1, count + 1)):
        with uninterrupted():
            try:
                _volume_in(folder, final).rename(final)
            except FileNotFoundError:
                return
            remove(folder)
