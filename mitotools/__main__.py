"""Run the commands as ``python -m mitotools``."""

from mitotools.cli.main import main

if __name__ == "__main__":
    main()
