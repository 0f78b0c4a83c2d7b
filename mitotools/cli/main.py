"""The command group, and the one place where failures become words and exit statuses."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from mitotools import __version__
from mitotools.cli.signals import INTERRUPTED, was_interrupted
from mitotools.errors import MitotoolsError, UsageError
from mitotools.interruption import uninterrupted
from mitotools.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "convert": "mitotools.cli.convert:convert",
    "tile": "mitotools.cli.tile:tile",
    "train": "mitotools.cli.train:train",
    "predict": "mitotools.cli.predict:predict",
    "merge": "mitotools.cli.merge:merge",
    "decode": "mitotools.cli.decode:decode",
    "tune": "mitotools.cli.tune:tune",
    "filter": "mitotools.cli.filter:filter_labels",
    "evaluate": "mitotools.cli.evaluate:evaluate",
    "stats": "mitotools.cli.stats:stats",
    "info": "mitotools.cli.info:info",
    "view": "mitotools.cli.view:view",
    "doctor": "mitotools.cli.doctor:doctor",
    "completion": "mitotools.cli.completion:completion",
}
"""Every command in the order of the pipeline, and where it is."""

DONE, FAILED, WRONG_USAGE = 0, 1, 2

_OUT_OF_MEMORY = (
    "Cannot allocate memory",
    "failed to map segment",
    "error return without exception set",
    "without setting an exception",
)


class Pipeline(click.Group):
    """The commands in the order in which data passes through them, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, or None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return a command and its words, among which `-[CROP]` is a volume."""
        from mitotools.cli.arguments import no_option

        name, command, words = super().resolve_command(ctx, args)
        return name, command, [no_option(word) for word in words]

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; an interruption, or a reader that is gone, is dealt with before click would.

        The context's object, if it has one, makes the block in which interruptions take effect.
        """
        try:
            with (ctx.obj or nullcontext)():
                return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            if was_interrupted() or isinstance(error, KeyboardInterrupt):
                name = " ".join(filter(None, ("mitotools", ctx.invoked_subcommand)))
                return _report(f"{name}: interrupted.", INTERRUPTED)
            if isinstance(error, BrokenPipeError):
                return DONE
            raise


@click.group(cls=Pipeline, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def mitotools() -> None:
    """Mitochondria instances from electron microscopy volumes.

    The commands stand in the order in which data passes through them; each reads and writes standard files
    (HDF5, OME-Zarr, TIFF, NIfTI, folders of slices ...). A volume is named FILE[:DATASET][CROP]; - is a pipe.

    \b
      $ mitotools predict raw.h5 maps.zarr -m model.safetensors
      $ mitotools decode maps.zarr - | mitotools filter - labels.h5 --min-size 2000
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status; a failure is one line on standard error."""
    name = next((word for word in arguments if word in COMMANDS), None)
    program = f"mitotools {name}" if name else "mitotools"
    try:
        with uninterrupted() as interruptible:  # click would say nothing, but end the line
            status = mitotools.main(
                list(arguments), prog_name="mitotools", standalone_mode=False, obj=interruptible
            )
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return WRONG_USAGE
    except click.ClickException as error:
        message = " ".join(error.format_message().split())  # choices stand a line each
        stop = "" if message.endswith((".", "?", "!")) else "."
        return _report(f"{program}: {message}{stop}", WRONG_USAGE, f"See '{program} --help'.")
    except UsageError as error:
        return _report(f"{program}: {error}", WRONG_USAGE)
    except MitotoolsError as error:
        return _report(f"{program}: {error}", FAILED)
    except click.Abort:
        return INTERRUPTED
    except RecursionError:  # what commands read is nested; nothing that they do is
        return _report(f"{program}: an input: what it says of itself is nested too deeply.", FAILED)
    except (MemoryError, RuntimeError, ImportError, OSError, SystemError) as error:
        if shortage := _shortage(error):
            return _report(f"{program}: {shortage}", FAILED)
        if not isinstance(error, OSError):
            raise
        where = error.filename or "the machine"
        return _report(f"{program}: {where}: {error.strerror or error}.", FAILED)
    return status if isinstance(status, int) else DONE


def _shortage(error: BaseException) -> str:
    """Return what the machine has too little of, which libraries say in their own ways, or pass on."""
    said = str(error)
    if "can't start new thread" in said:
        return "this machine's threads: no more can be started. Is memory, or what ulimit -u allows, used up?"
    if isinstance(error, MemoryError) or any(words in said for words in _OUT_OF_MEMORY):
        return "this machine's memory: there is not enough of it."
    return _shortage(error.__context__) if error.__context__ else ""


def _report(line: str, status: int, advice: str = "") -> int:
    click.echo(printable(" ".join(part for part in (line, advice) if part)), err=True)
    return status
