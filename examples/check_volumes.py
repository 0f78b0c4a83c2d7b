"""Check that volumes are there and have the size that they should have.

Run: python examples/check_volumes.py Z Y X VOLUME ...
"""

from __future__ import annotations

import sys

from mitotools.errors import MitotoolsError
from mitotools.volume.files import open_volume
from mitotools.volume.path import parse_volume_path


def main() -> None:
    """Print a line for each volume; the exit status is 1 where one is wrong."""
    size = tuple(map(int, sys.argv[1:4]))
    wrong = 0
    for name in sys.argv[4:]:
        try:
            with open_volume(parse_volume_path(name)) as volume:
                found = volume.spec.size
            state = "ok" if found == size else f"has {found} voxels, not {size}"
        except MitotoolsError as error:
            state = str(error).removeprefix(f"{name}: ")
        wrong += state != "ok"
        print(f"{name}: {state}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
