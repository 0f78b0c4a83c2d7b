"""Run `mitotools`, and return what it prints, or what it would do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def printed(*words: object, folder: Path | None = None) -> str:
    """Run `mitotools WORDS` in a folder, which must succeed, and return what it prints."""
    command = [sys.executable, "-m", "mitotools", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder).stdout


def planned(*words: object) -> dict[str, str]:
    """Return what `mitotools WORDS` would take, by column."""
    header, values = printed(*words, "--dry-run").splitlines()
    return dict(zip(header.split("\t"), values.split("\t"), strict=True))
