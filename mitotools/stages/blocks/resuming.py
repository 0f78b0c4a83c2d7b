"""Continuing what an earlier run began, and recognising what is complete."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mitotools import history
from mitotools.errors import InputError, MitotoolsError, ModelError, TargetError
from mitotools.interruption import uninterrupted
from mitotools.locking import lock_file
from mitotools.run.journal import continued_journal, entries, made, new_journal
from mitotools.stages.blocks.staging import remove_packed
from mitotools.volume.atomic import journal_of, remove, unfinished_of
from mitotools.volume.blocks import Box, size3
from mitotools.volume.files import open_volume
from mitotools.volume.outputs import exists, final_of, list_label
from mitotools.volume.path import VolumePath
from mitotools.volume.plan import flat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mitotools.conventions import Size
    from mitotools.history import History
    from mitotools.run.journal import Journal
    from mitotools.run.running import Running
    from mitotools.volume.base import VolumeSpec


REPLACE = "Use --force to replace it"
"""What to do about an output that was made otherwise."""


def is_complete(
    name: VolumePath | Path,
    stored: Callable[[], History],
    records: History,
    running: Running,
    *,
    is_there: bool,
    what_next: str = REPLACE,
    or_copies: bool = False,
) -> bool:
    """Whether a run is to resume an output that is there, made of the same by the same: this is said.

    Parameters
    ----------
    name : VolumePath or Path
        The output.
    stored : callable
        Returns the history of the output that is there, or raises InputError.
    records : History
        Of the output that would be made.
    running : Running
        With `force`, what was made otherwise is to be replaced.
    is_there : bool
    what_next : str
        What to do about it else.
    or_copies : bool
        Its inputs may be copies elsewhere of those (see `history.differences`).

    Raises
    ------
    TargetError
        Where it was made otherwise.
    """
    if not (running.resume and is_there):
        return False
    try:
        changed = history.differences(stored(), records, or_copies=or_copies)
    except InputError as error:
        if running.force:
            return False
        raise TargetError(str(name), "is there, but unreadable", what_next) from error
    if changed and running.force:
        return False
    if changed:
        raise TargetError(str(name), f"was made with other {', '.join(changed)}", what_next)
    logging.getLogger(__name__).info("%s is complete already", name)
    if isinstance(name, Path) or not name.is_remote:
        _tidy(name if isinstance(name, Path) else final_of(name))
    return True


def _tidy(final: Path) -> None:
    """Remove the journal of a complete output, which a run left that was killed right then."""
    if journal_of(final).exists() and not unfinished_of(final).exists():
        with suppress(TargetError, OSError), lock_file(journal_of(final)):  # another run may be at it
            pass


def is_made(target: VolumePath, records: History, running: Running, what_next: str = REPLACE) -> bool:
    """Whether a volume is there, complete, that would only be made again; this is said.

    Raises
    ------
    TargetError
        Where it was made otherwise.
    """
    if not is_complete(
        target, lambda: _history(target), records, running, is_there=exists(target), what_next=what_next
    ):
        return False
    list_label(target)  # the run may have been killed before it did
    remove_packed(target, records)
    return True


def _history(target: VolumePath) -> History:
    with open_volume(VolumePath(target.file, target.dataset)) as volume:
        return volume.spec.history


class Unit(NamedTuple):
    """What an entry of a journal stands for, in words."""

    name: str = "block"
    state: str = "done"

    def counted(self, count: int) -> str:
        """Return how many there are: "3 blocks"."""
        return f"{count} {self.name}{'' if count == 1 else 's'}"

    def advice(self, count: int) -> str:
        """Return what is done, and what to do next."""
        return f"{self.counted(count)} {'is' if count == 1 else 'are'} {self.state}, and --resume continues"


BLOCKS = Unit()


@contextmanager
def journal_for(
    final: Path,
    what: dict[str, object],
    running: Running,
    unit: Unit = BLOCKS,
    *,
    or_copies: bool = False,
) -> Iterator[Journal]:
    """Open the journal of an unfinished output, old or new; it goes when the output is complete, or gone.

    Parameters
    ----------
    final : Path
        The output.
    what : dict
        What it will be; see `made_of`.
    running : Running
    unit : Unit
        What an entry stands for.
    or_copies : bool
        Its inputs may be copies elsewhere of those that it was begun with: this is said.

    Raises
    ------
    TargetError
        Where another run has it open, or it is to become something else.
    """
    path = journal_of(final)
    can_continue = bool(running.resume) and is_worth_continuing(final, running)
    if can_continue:
        begun = made(path) or {}
        check_same(final, begun, what, or_copies=or_copies)
        if or_copies and (others := _differences(begun, what)):
            logging.getLogger(__name__).warning("%s: was begun with other %s", final, ", ".join(others))
    path.parent.mkdir(exist_ok=True)  # the first labels of an image
    # Refused where another run has it open: then nothing of the following is ours to do.
    with (
        uninterrupted() as interruptible,
        continued_journal(path) if can_continue else new_journal(path, what) as journal,
    ):
        try:
            if journal.done:
                after = unit.counted(len(journal.done))
                logging.getLogger(__name__).info("%s: continuing after %s", final, after)
            with interruptible():
                yield journal
        except MitotoolsError as error:
            # The same model would fail again in the same way.
            if isinstance(error, ModelError) or not is_worth_continuing(final, running):
                raise
            advice = unit.advice(len(entries(path)))
            raise type(error)(
                error.what, error.why, ". ".join(filter(None, (error.what_next, advice)))
            ) from error
        except (Exception, KeyboardInterrupt) as error:
            if is_worth_continuing(final, running):
                logging.getLogger(__name__).info("%s", unit.advice(len(entries(path))))
            elif running.resume and not entries(path) and isinstance(error, KeyboardInterrupt):
                logging.getLogger(__name__).info("no %s is %s: the next run begins anew", *unit)
            raise
        finally:
            if not unfinished_of(final).exists():
                remove(path)


def is_worth_continuing(final: Path, running: Running) -> bool:
    """Whether a failed run got somewhere, and its command can continue."""
    can_continue = running.resume is not None and unfinished_of(final).exists()
    return can_continue and bool(entries(journal_of(final)))


def blocks_begun(final: Path) -> Size | None:
    """Return the shape of the blocks that an earlier run wrote, at the first level, if there are any."""
    done = [entry[1:] for entry in entries(journal_of(final)) if entry[0] == 0]
    if not done:
        return None
    bounds = np.array(done)
    return size3((bounds[:, 1::2] - bounds[:, 0::2]).max(axis=0))


def made_of(records: History, **properties: object) -> dict[str, object]:
    """Return what a journal says of the output that it is about."""
    return {"record": records[-1] if records else {}, **properties}


def check_same(
    final: Path,
    old: dict[str, object],
    what: dict[str, object],
    what_next: str = "Use --force to start over",
    *,
    or_copies: bool = False,
) -> None:
    """Raise TargetError, naming what differs, where an output was begun as something else (see `made_of`)."""
    if changed := _differences(old, what, or_copies=or_copies):
        raise TargetError(str(final), f"was begun with other {', '.join(changed)}", what_next)


def _differences(
    old: dict[str, object], what: dict[str, object], *, or_copies: bool = False
) -> Sequence[str]:
    was, now = (history.from_records([made.get("record")]) for made in (old, what))
    changed = history.differences(was, now, or_copies=or_copies)
    changed += [
        name for name, value in what.items() if name != "record" and history.differ(old.get(name), value)
    ]
    return list(dict.fromkeys(changed))


def not_done(boxes: list[Box], done: Iterable[Sequence[int]], spec: VolumeSpec) -> list[Box]:
    """Return what is left of the blocks: of each the box around what is not written.

    Blocks done may have had another shape: what a run has memory for differs from one to the next.
    """
    cells = np.ones([-(-n // u) for n, u in zip(spec.size, spec.unit, strict=True)], np.bool_)

    def index(bounds: Sequence[int]) -> tuple[slice, ...]:
        return tuple(
            slice(a // u, -(-b // u)) for a, b, u in zip(bounds[0::2], bounds[1::2], spec.unit, strict=True)
        )

    for bounds in done:
        cells[index(bounds)] = False
    left = []
    for box in boxes:
        inside = np.argwhere(cells[index(flat(box))])
        if len(inside):
            first, behind = inside.min(axis=0) * spec.unit, (inside.max(axis=0) + 1) * spec.unit
            around = Box(size3(first), size3(behind)).shifted(box.start)
            left.append(around.intersection(box))
    return left
