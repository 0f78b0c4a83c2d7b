"""Run a command, and send it a signal right before one of the changes that it makes to names in its folder.

Each change is a line in a file beside the folder, of its name with .changes.

Usage: python -m faults.changing NUMBER SIGNAL WORD...      (the first change is 0)
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mitotools.__main__ import main

_EVENTS = {"os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "shutil.rmtree": 1, "open": 1}
"""What Python tells of itself, and how many names come with it."""


def watch(folder: Path, number: int, signal: int) -> None:
    """Count the changes to the names that lie in a folder itself, note each, and send a signal before one."""
    noted = os.open(folder.with_name(f"{folder.name}.changes"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    seen = 0

    def hear(event: str, values: tuple[object, ...]) -> None:
        nonlocal seen
        if event not in _EVENTS or (event == "open" and not int(values[2]) & os.O_CREAT):
            return
        if event.startswith("os.") and values[-1] != -1:  # relative to some folder, that is being removed
            return
        names = [Path(os.fsdecode(value)).absolute() for value in values[: _EVENTS[event]] if is_name(value)]
        if not any(name.parent in (folder, folder / "image.zarr" / "labels") for name in names):
            return
        os.write(noted, f"{event} {' '.join(name.name for name in names)}\n".encode())
        seen += 1
        if seen == number + 1:
            os.kill(os.getpid(), signal)

    sys.addaudithook(hear)


def is_name(value: object) -> bool:
    """Whether a value that comes with an event is a path, not the number of an open file."""
    return isinstance(value, str | bytes | os.PathLike)


if __name__ == "__main__":
    watch(Path.cwd(), int(sys.argv[1]), int(sys.argv[2]))
    del sys.argv[1:3]
    main()
