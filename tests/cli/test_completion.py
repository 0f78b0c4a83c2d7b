"""Completion in real shells, where they are installed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time

import pytest

from mitotools.cli.completion import SHELLS
from mitotools.cli.main import COMMANDS, run


@pytest.fixture
def environment(commands):
    """A shell that finds `mitotools`."""
    return commands.environment


def completed(words: str, folder, environment) -> list[str]:
    """Return what bash offers behind the words of a line."""
    script = f"""
        source <(mitotools completion bash) 2>/dev/null
        COMP_WORDS=({words}) COMP_CWORD=$(( $(set -- {words}; echo $#) - 1 )) COMPREPLY=()
        compopt() {{ :; }}
        _mitotools_completion mitotools
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    result = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return result.stdout.split()


OFFERED = [
    ("mitotools ev", {"evaluate"}),
    ("mitotools decode --seed", {"--seed-foreground", "--seed-contour", "--seed-distance"}),
    ("mitotools predict --tta ", {"1", "4", "8", "16", "48"}),
    ("mitotools completion f", {"fish"}),
]
VOLUME = ("mitotools info ra", {"raw.h5"})


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(("words", "offered"), OFFERED)
def test_bash_completes_commands_options_and_values(tmp_path, environment, words, offered):
    assert set(completed(f"{words}''" if words.endswith(" ") else words, tmp_path, environment)) == offered


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
@pytest.mark.parametrize(("words", "offered"), [*OFFERED, VOLUME])
def test_fish_completes_them_too(tmp_path, environment, words, offered):
    (tmp_path / "raw.h5").touch()
    scripts = tmp_path / "home/.config/fish/completions"
    scripts.mkdir(parents=True)
    environment = environment | {"HOME": str(tmp_path / "home")}
    environment.pop("XDG_CONFIG_HOME", None)
    lines = f"mitotools completion fish > {scripts}/mitotools.fish; complete -C '{words}'"
    result = subprocess.run(
        ["fish", "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert {line.split("\t")[0] for line in result.stdout.splitlines()} == offered


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
@pytest.mark.parametrize(("words", "offered"), [*OFFERED, VOLUME])
def test_zsh_completes_them_too(tmp_path, environment, words, offered):
    (tmp_path / "raw.h5").touch()
    (tmp_path / "_mitotools").write_text(
        subprocess.run(
            ["mitotools", "completion", "zsh"], env=environment, capture_output=True, text=True, check=True
        ).stdout
    )
    begin = f"fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D"
    with Typist(["zsh", "-f", "-i"], tmp_path, environment | {"TERM": "dumb"}) as zsh:
        zsh.types(f"{begin}; print be''gun\n", until={"begun"})
        zsh.types(words, until=set())
        zsh.types("\t", until=offered)  # once, or twice


class Typist:
    """Someone at a terminal, with a program in it."""

    def __init__(self, command, folder, environment):
        self._terminal, other_end = pty.openpty()
        ends = dict.fromkeys(("stdin", "stdout", "stderr"), other_end)
        self._program = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **ends)
        os.close(other_end)
        self._shown = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._program.kill()
        self._program.wait()
        os.close(self._terminal)

    def types(self, keys, until):
        """Type, again if need be, until words are shown."""
        for _ in range(10):
            os.write(self._terminal, keys.encode())
            patience = time.monotonic() + 3
            while time.monotonic() < patience:
                if until <= set(self._shown.split()):
                    return
                if select.select([self._terminal], [], [], 0.1)[0]:
                    self._shown += os.read(self._terminal, 4096).decode(errors="replace")
        raise AssertionError(self._shown)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_names_of_volumes_as_those_of_files(tmp_path, environment):
    script = "COMP_WORDS='mitotools decode ra' COMP_CWORD=2 _MITOTOOLS_COMPLETE=bash_complete mitotools"
    result = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout == "file,ra\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_there_is_a_script_for_each_shell(shell, capsys):
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_MITOTOOLS_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        result = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr


def test_every_command_can_be_completed():
    assert "completion" in COMMANDS
    assert run(["completion", "tcsh"]) == 2
