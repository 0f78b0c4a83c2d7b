"""The structure that README and the layout promise: layers, homes of libraries, options, help."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import click
import pytest

from mitotools.cli.main import COMMANDS, mitotools

PACKAGE = Path(__file__).parent.parent / "mitotools"

BASE = {
    "conventions", "errors", "history", "interruption", "locking", "parameters", "printable", "temporary",
    "mitotools",
}  # fmt: skip
MAY_IMPORT = {
    "base": BASE,
    "door": BASE | {"stages"},  # what `import mitotools` offers, loaded when it is used
    "cli": BASE | {"cli", "stages", "segment", "volume", "run"},
    "stages": BASE | {"stages", "learn", "segment", "view", "volume", "run"},
    "learn": BASE | {"learn", "volume", "run"},
    "segment": BASE | {"segment"},
    "view": BASE | {"view"},
    "volume": BASE | {"volume"},
    "run": BASE | {"run"},
}
HOMES = {
    "click": {"cli"},
    "rich": {"cli"},
    "torch": {"learn"},
    "safetensors": {"learn"},
    "openvino": {"learn"},
    "numba": {"segment"},
    "edt": {"segment", "learn"},
    "bioimage_cpp": {"segment"},
    "mwatershed": {"segment"},
    "waterz": {"segment"},
    "scipy": {"segment", "learn"},
    "psutil": {"run"},
    "dask": {"run"},
    "distributed": {"run"},
    "cloudpickle": {"run"},
    "h5py": {"volume"},
    "deflate": {"volume"},
    "isal": {"volume"},
    "numcodecs": {"volume"},
    "zarr": {"volume"},
    "zarrs": {"volume"},
    "fsspec": {"volume"},
    "aiohttp": {"volume"},
    "tifffile": {"volume"},
    "nibabel": {"volume"},
    "mrcfile": {"volume"},
    "tensorstore": {"volume"},
    "PIL": {"volume"},
    "pyarrow": {"volume"},
    "matplotlib": {"view"},
    "neuroglancer": {"view"},
}
HEAVY = ["numpy", "torch", "h5py", "zarr", "numba", "scipy", "matplotlib", "tifffile", "rich", "skimage"]


def layer_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).parts
    if parts == ("__init__.py",):
        return "door"
    return parts[0] if len(parts) > 1 else "base"


def imports_of(file: Path) -> Iterator[str]:
    """Yield the full names of all modules that a file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules() -> list[Path]:
    return [file for file in sorted(PACKAGE.rglob("*.py")) if file.name != "__main__.py"]


def commands() -> list[tuple[str, click.Command]]:
    context = click.Context(mitotools, info_name="mitotools")
    return [(name, mitotools.get_command(context, name)) for name in COMMANDS]


def test_dependencies_point_one_way():
    wrong = []
    for file in modules():
        for name in imports_of(file):
            if name.startswith("mitotools."):
                imported = name.split(".")[1]
                known = imported in MAY_IMPORT or imported in BASE
                if known and imported not in MAY_IMPORT[layer_of(file)]:
                    wrong.append(f"{file.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_rooms_do_not_depend_on_each_other_in_circles():
    """A room is a module of a layer, or a folder of modules there."""
    needs: dict[str, set[str]] = {}
    for file in modules():
        room = ".".join(file.relative_to(PACKAGE).with_suffix("").parts[:2])
        for name in imports_of(file):
            other = ".".join(name.split(".")[1:3])
            if name.startswith("mitotools.") and other != room:
                needs.setdefault(room, set()).add(other)
    assert len(list(TopologicalSorter(needs).static_order())) > 100


def test_each_heavy_library_has_one_home():
    wrong = [
        f"{file.relative_to(PACKAGE)} imports {name}"
        for file in modules()
        for name in imports_of(file)
        if layer_of(file) not in HOMES.get(name.split(".")[0], {layer_of(file)})
    ]
    assert wrong == []


def test_every_folder_of_the_package_is_a_known_layer():
    folders = {file.name for file in PACKAGE.iterdir() if file.is_dir() and file.name != "__pycache__"}
    assert folders == set(MAY_IMPORT) - {"base", "door"}


def test_a_command_its_stage_and_its_file_have_the_same_name():
    for name in COMMANDS:
        assert (PACKAGE / "cli" / f"{name}.py").is_file()
        assert (PACKAGE / "stages" / f"{name}.py").is_file() or name == "completion"  # which is click's


def test_modules_stay_small():
    lengths = {str(file.relative_to(PACKAGE)): len(file.read_text().splitlines()) for file in modules()}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_help_lists_the_commands_in_pipeline_order(capsys):
    from mitotools.cli.main import run

    assert run(["--help"]) == 0
    listing = capsys.readouterr().out.split("Commands:")[1]
    assert [line.split()[0] for line in listing.strip().splitlines()] == list(COMMANDS)


@pytest.mark.parametrize(("name", "command"), commands(), ids=list(COMMANDS))
def test_every_command_has_two_examples_and_says_what_each_option_does(name, command):
    assert command.help.count(f"mitotools {name} ") >= 2
    assert [
        option.name for option in command.params if isinstance(option, click.Option) and not option.help
    ] == []
    assert command.short_help.endswith(".")


def test_an_option_means_the_same_in_every_command():
    meanings = defaultdict(set)
    for _, command in commands():
        for option in command.params:
            if isinstance(option, click.Option):
                names = tuple(sorted(option.opts))
                for name in names:
                    first_sentence = option.help.split(".")[0].split(";")[0]
                    meanings[name].add((names, option.is_flag, option.multiple, first_sentence))
    assert {name: found for name, found in meanings.items() if len(found) > 1} == {}


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_loads_no_heavy_library(arguments):
    program = (
        "import sys; from mitotools.cli.main import run; "
        f"status = run({arguments!r}); print(status, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "0 []"
