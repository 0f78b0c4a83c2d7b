"""Completion in real shells, where they are installed."""

from __future__ import annotations

import shutil
import subprocess

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


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("mitotools ev", {"evaluate"}),
        ("mitotools decode --seed", {"--seed-foreground", "--seed-contour", "--seed-distance"}),
        ("mitotools predict --tta ''", {"1", "4", "8", "16", "48"}),
        ("mitotools completion f", {"fish"}),
    ],
)
def test_bash_completes_commands_options_and_values(tmp_path, environment, words, offered):
    assert set(completed(words, tmp_path, environment)) == offered


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
