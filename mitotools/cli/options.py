"""Options and types that two or more commands use: an option's name means one thing in all of them."""

from __future__ import annotations

import functools
import logging
import shlex
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mitotools.cli import arguments
from mitotools.errors import UsageError
from mitotools.parameters import PredictParameters
from mitotools.volume.path import VolumePath, parse_crop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mitotools.run.running import Running
    from mitotools.volume.base import VolumeSpec

Function = TypeVar("Function", bound="Callable[..., Any]")

_MOST_THREADS = 1024
"""More than a machine has: plans are made for every number up to it."""

device = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="Where the network runs: auto, cpu, cuda, cuda:1, mps.",
)
precision = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Arithmetic of the network; auto is bfloat16 where the CPU or GPU has it.",
)
as_program = click.option(
    "--as",
    "as_program",
    default="",
    metavar="PROGRAM",
    help="Do as another program does; pytc: the model is a checkpoint of PyTorch Connectomics, "
    "pytc,pooling: one that pools.",
)
root = click.option(
    "--root",
    type=click.Path(file_okay=False, exists=True),
    help="Where the images of a JSON tile set lie, if not where it says.",
)
chunks = click.option("--chunks", type=arguments.SIZE, help="Chunk of the new file, in voxels.")
compression = click.option(
    "--compression",
    type=click.Choice(["default", "gzip", "lzf", "zstd", "none"]),
    default="default",
    show_default=True,
    help="Compression of the new file: gzip or lzf (HDF5), gzip or zstd (OME-Zarr).",
)

label_dtype = click.option(
    "--dtype",
    type=click.Choice(["uint8", "uint16", "uint32", "uint64"]),
    help="Type of the voxels written.  [default: the smallest that holds the ids]",
)

channels = click.option(
    "--channels",
    metavar="NAME=N,...",
    callback=arguments.channels,
    help="Which channel of the maps is what, mask=0,contour=1 say.  [default: the method's order]",
)
blend = click.option(
    "--blend",
    type=click.Choice(["bump", "gaussian", "none"]),
    default=PredictParameters.blend,
    show_default=True,
    help="Weight of windows or tiles where they overlap.",
)


def report(content: str) -> Callable[[Function], Function]:
    """Return the `--report` option with what a command's report holds."""
    return click.option(
        "--report",
        type=arguments.OUTPUT_FILE,
        metavar="FILE.html",
        help=f"Write a page; {content}.",
    )


def raw(use: str) -> Callable[[Function], Function]:
    """Return the `--raw` option with what a command does with the image."""
    return click.option(
        "--raw", type=arguments.VOLUME, metavar="RAW", help=f"Image of the same shape; {use}."
    )


def running(command: Function, default_memory: str = "half of what is free") -> Function:
    """Add the options of how a command runs, and pass them on as one `running: Running`."""

    @click.option(
        "-t",
        "--threads",
        type=click.IntRange(1, _MOST_THREADS),
        envvar="MITOTOOLS_THREADS",
        show_envvar=True,
        help="Number of threads.  [default: all cores]",
    )
    @click.option(
        "--memory",
        envvar="MITOTOOLS_MEMORY",
        show_envvar=True,
        metavar="SIZE",
        help=f"The most memory that all processes take, 2G for instance.  [default: {default_memory}]",
    )
    @click.option("-f", "--force", is_flag=True, help="Replace an output that exists.")
    @click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
    @click.option("-v", "--verbose", is_flag=True, help="Say more.")
    @click.option("--no-progress", is_flag=True, help="Show no progress.")
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        threads: int | None,
        memory: str | None,
        force: bool,
        quiet: bool,
        verbose: bool,
        no_progress: bool,
        **kwargs: Any,
    ) -> Any:
        from mitotools.cli.reporting import configure, running_of

        configure(click.get_current_context().info_name or "", quiet=quiet, verbose=verbose)
        return command(
            *args,
            running=running_of(
                threads, memory, command_line(), force=force, show_progress=not (no_progress or quiet)
            ),
            **kwargs,
        )

    return wrapped  # type: ignore[return-value]


def processes(command: Function) -> Function:
    """Add the options of a command that other processes may compute; stands below `running`."""

    @click.option(
        "--workers",
        type=click.IntRange(min=0),
        default=0,
        help="Compute in that many processes of this machine; needs Dask.",
    )
    @click.option(
        "--scheduler",
        metavar="ADDRESS",
        default="",
        help="Compute on a Dask cluster that runs, tcp://host:port.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, running: Running, workers: int, scheduler: str, **kwargs: Any) -> Any:
        if workers and scheduler:
            raise UsageError("--workers", "starts processes, --scheduler uses running ones", "Give one")
        return command(*args, running=replace(running, workers=workers, scheduler=scheduler), **kwargs)

    return wrapped  # type: ignore[return-value]


def dry_run(command: Function) -> Function:
    """Add the option to print what a command would need; stands below `running`."""

    @click.option("--dry-run", is_flag=True, help="Print the blocks, memory and disk needed; do nothing.")
    @functools.wraps(command)
    def wrapped(*args: Any, running: Running, dry_run: bool, **kwargs: Any) -> Any:
        if dry_run:  # nothing is made that could be reported
            logging.getLogger("mitotools").setLevel(logging.WARNING)
        running = replace(running, dry_run=_print_needs if dry_run else None)
        return command(*args, running=running, **kwargs)

    return wrapped  # type: ignore[return-value]


def engines(command: Function) -> Function:
    """Add `processes`, and the options of a command that can be continued; stands below `running`."""
    command = dry_run(command)

    @click.option("--resume", is_flag=True, help="Continue an unfinished output, if there is one.")
    @functools.wraps(command)
    def wrapped(*args: Any, running: Running, resume: bool, **kwargs: Any) -> Any:
        return command(*args, running=replace(running, resume=resume), **kwargs)

    return processes(wrapped)  # type: ignore[return-value]


def _print_needs(needs: Mapping[str, str]) -> None:
    """Print what a command would need, as a table of one row."""
    from mitotools.volume.table import tsv_lines

    click.echo("\n".join(tsv_lines(list(needs), [list(needs.values())])))


def command_line() -> str:
    """Return this process's command line as a shell would take it."""
    return shlex.join(["mitotools", *sys.argv[1:]])


@contextmanager
def source_volumes(*sources: VolumePath) -> Iterator[Sequence[VolumePath]]:
    """Yield the input volumes, the one named ``-`` taken from standard input."""
    from mitotools.volume import pipe

    if sum(source.is_pipe for source in sources) > 1:
        raise UsageError("-", "only one input can come through the pipe")
    with ExitStack() as stack:
        yield [stack.enter_context(pipe.received(source)) for source in sources]


@contextmanager
def sent(target: VolumePath) -> Iterator[VolumePath]:
    """Yield the output volume, a temporary one for ``-``."""
    from mitotools.volume import pipe

    with pipe.sent(target) as output:
        yield output


@contextmanager
def piped(source: VolumePath, target: VolumePath) -> Iterator[tuple[VolumePath, VolumePath]]:
    """Yield an input and an output volume, each of which may be ``-``."""
    with sent(target) as output, source_volumes(source) as (volume,):
        yield volume, output


def cropped(source: VolumePath, crop: str | None) -> VolumePath:
    """Return the volume with the crop of a `--crop` option, if it was given."""
    if crop is None:
        return source
    if source.crop:
        raise UsageError(f"{source}{source.crop}", "has a crop already", "Leave --crop out")
    ranges, channels = parse_crop(crop, f"--crop {crop}")
    return replace(source, ranges=ranges, channels=channels)


def words(spec: VolumeSpec) -> str:
    """Return a volume's shape, type and voxel size in words."""
    voxel_size = spec.voxel_size_nm
    size = " x ".join(f"{length:g}" for length in voxel_size) + " nm" if voxel_size else "voxel size unknown"
    return f"{' x '.join(map(str, spec.shape))} {spec.dtype}, {size}"


def say(text: str) -> None:
    """Print what was done on standard error, unless the user asked for quiet."""
    logging.getLogger("mitotools").info("%s", text)
