"""Damage files of every kind at random, and give them to the commands: an answer, or one line of error.

Run: python tests/faults/fuzz.py [--seed N] [--first N] [--count N] [--only READER] [--keep FOLDER]
     python tests/faults/fuzz.py --words [--only READER] [--keep FOLDER]
(PYTHONPATH: the project's folder and tests/)

With --words nothing is left to chance: every word of every text is replaced by each that may do harm.

Each input is read by commands in a process that has little memory, room and time to take. Wrong are: an
exception that is not reported as one line, an exit status that is none of ours, a hang, more memory than
--memory, and the death of the process. What was wrong is kept in FOLDER, to become a part of tests/corpus.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from faults.damage import damage, each_reworded
from faults.readers import READERS, Reader

from mitotools.cli.main import run

SECONDS = 20
"""Of a processor. A reader that takes longer hangs; most take a hundredth of a second."""

WAITED_SECONDS = 300
"""By the clock: where it waits for something, or others are at work."""

TIMERS = (
    (signal.SIGPROF, signal.ITIMER_PROF, SECONDS),
    (signal.SIGALRM, signal.ITIMER_REAL, WAITED_SECONDS),
)

MORE_BYTES = 3 * 2**30
"""Of address space, beside what the process has when it begins."""

FILE_BYTES = 2**28
"""Of what is written: a damaged shape may be that of a volume which takes minutes to copy, and rightly."""

MEMORY = ["--memory", "2G", "-t", "1"]


class Hangs(BaseException):
    """A command took too long."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Give the process little more address space than it has, little room for files, and little time."""

    def hangs(number: int, frame: object) -> None:
        raise Hangs

    size = int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size + MORE_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, resource.RLIM_INFINITY))
    for number, timer, seconds in TIMERS:
        signal.signal(number, hangs)
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for _, timer, _ in TIMERS:
            signal.setitimer(timer, 0)
        for limit in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
            resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def fault_of(line: str, *, is_damaged: bool = True) -> str:
    """Run a command line; return what is wrong with how it ended, or nothing."""
    printed, errors = io.StringIO(), io.StringIO()
    try:
        with limited(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
            status = run([*line.split(), *MEMORY])
    except Hangs:
        return f"{line}: hangs"
    except BaseException:
        return f"{line}: {traceback.format_exc()}"
    if status not in (0, 1, 2):
        return f"{line}: status {status}"
    words = errors.getvalue()
    if status and not is_damaged:
        return f"{line}: {words}"
    if "this machine's" in words:
        return f"{line}: {words}"
    if status and "mitotools " not in words:
        return f"{line}: status {status} without a word: {words}"
    return ""


class Kept(NamedTuple):
    """What a file holds, and when it was written."""

    content: bytes
    ns: int

    @classmethod
    def of(cls, path: Path) -> Kept:
        return cls(path.read_bytes(), path.stat().st_mtime_ns)


def restore(made: dict[Path, Kept]) -> None:
    """Remove what commands wrote, and write again what they changed or took away."""
    for path in sorted(Path().rglob("*"), reverse=True):
        if path.is_dir():
            with contextlib.suppress(OSError):  # it is not empty
                path.rmdir()
        elif path not in made:
            path.unlink()
    for path, kept in made.items():
        if not path.exists() or path.stat().st_mtime_ns != kept.ns:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(kept.content)
            os.utime(path, ns=(kept.ns, kept.ns))


def files_of(reader: Reader) -> list[Path]:
    """Return the files that are damaged, one at a time."""
    return sorted(path for path in Path().glob(reader.damaged) if path.is_file())


def inputs(
    name: str, seed: int | None, numbers: range, contents: dict[Path, bytes]
) -> Iterator[tuple[int, Path, bytes]]:
    """Yield numbers, a file for each, and what it is to hold; without a seed every text in other words."""
    if seed is None:
        every = ((file, text) for file, content in contents.items() for text in each_reworded(content))
        for number, (file, text) in itertools.islice(enumerate(every), numbers.start, numbers.stop):
            yield number, file, text
        return
    for number in numbers:
        draw = random.Random(f"{seed} {name} {number}")  # noqa: S311 (a test, no secret)
        file = draw.choice(list(contents))
        yield number, file, damage(contents[file], draw)


def work(name: str, seed: int | None, numbers: range, keep: Path | None = None) -> list[str]:
    """Try inputs by their numbers, in the working folder; say and return what is wrong."""
    reader = READERS[name]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        reader.make()
    made = {path: Kept.of(path) for path in Path().rglob("*") if path.is_file()}
    for line in reader.lines:
        assert not (fault := fault_of(line, is_damaged=False)), fault
    restore(made)
    contents = {file: made[file].content for file in files_of(reader)}
    wrong: list[str] = []
    for number, file, content in inputs(name, seed, numbers, contents):
        file.write_bytes(content)
        print(f"{number}\t{file}", flush=True)
        for line in reader.lines:
            if fault := fault_of(line):
                keep_input(keep, name, number, file)
                print(f"{number}\t{file}\t{fault!r}", flush=True)
                wrong.append(f"{number}: {fault}")
        restore(made)
    return wrong


def tried(name: str, seed: int | None, numbers: range, keep: Path | None) -> int:
    """Try inputs in other processes, and return how many were wrong."""
    wrong = 0
    while True:
        words = ["--worker", "--only", name, *(["--words"] if seed is None else ["--seed", str(seed)])]
        words += ["--first", str(numbers.start), "--count", str(len(numbers))]
        if keep:
            words += ["--keep", str(keep.absolute())]
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-W", "ignore", __file__, *words]
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
            for said in process.stdout:
                number, file, *fault = said.rstrip("\n").split("\t")
                numbers = range(int(number) + 1, numbers.stop)
                if fault:
                    wrong += 1
                    print(f"{name}\t{number}\t{file}\t{fault[0]}", flush=True)
            status = process.wait()
            if status == 0:
                return wrong
            if status < 0:
                wrong += 1
                print(
                    f"{name}\t{number}\t{file}\tthe process died: {signal.Signals(-status).name}", flush=True
                )
                keep_input(keep, name, int(number), Path(folder, file))
            else:
                raise RuntimeError(f"{name}: the fuzzer itself fails")


def keep_input(keep: Path | None, name: str, number: int, file: Path) -> None:
    """Copy a file that something went wrong with."""
    if keep:
        target = keep / name
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target / f"{number}-{file.name}")


def main() -> None:
    """Try what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000, help="inputs a reader")
    parser.add_argument("--only", default="", help="part of the names of readers")
    parser.add_argument("--words", action="store_true", help="replace every word of every text by others")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help="to continue an earlier run")
    chosen = parser.parse_args()
    seed = None if chosen.words else chosen.seed
    if chosen.worker:
        work(chosen.only, seed, range(chosen.first, chosen.first + chosen.count), chosen.keep)
        return
    names = [name for name in READERS if chosen.only in name]

    def wrong_of(name: str) -> int:
        numbers = range(sys.maxsize) if chosen.words else READERS[name].numbers(chosen.first, chosen.count)
        wrong = tried(name, seed, numbers, chosen.keep)
        print(f"{name}\tdone\t{wrong} wrong", flush=True)
        return wrong

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wrong = sum(pool.map(wrong_of, names))
    readers = sum(READERS[name].share for name in names)
    tells = "every word" if chosen.words else f"{chosen.count} inputs, seed {chosen.seed},"
    print(f"{tells} of each of {readers:g} readers: {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
