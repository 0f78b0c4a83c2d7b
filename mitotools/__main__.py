"""The process of a command line: ``mitotools``, or ``python -m mitotools``."""

from __future__ import annotations

import os
import sys
import warnings
from typing import NoReturn

from mitotools.cli.signals import INTERRUPTED, hear_signals, ignore_signals, silence_libraries


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    hear_signals()
    _open_streams()
    # We have threads of our own, and no large matrices. OpenBLAS would start one a core, for nothing, and
    # where there is no room for them send SIGINT, as if somebody had pressed Ctrl-C.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # zarr's, of what it could not begin; the error itself is said.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    try:
        from mitotools.cli.main import run  # noqa: PLC0415 (it takes its time, and may be interrupted)

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("mitotools: interrupted.\n")
        status = INTERRUPTED
    ignore_signals()  # what is done is done, and the status says so
    if status:
        silence_libraries()  # why is said
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _open_streams() -> None:
    """Let streams that were closed (``>&-``) lead nowhere: a file of ours would take their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 (for the whole process)


if __name__ == "__main__":
    main()
