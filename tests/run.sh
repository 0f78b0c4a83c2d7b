#!/bin/sh
# Install the test tools into .venv and run the checks and the tests. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."

sh examples/install.sh test
PATH=$PWD/.venv/bin:$PATH
ruff check .
ruff format --check .
mypy
python -m pytest --numprocesses 2 --dist loadfile "$@"
[ $# -gt 0 ] || python -m pytest -m openvino
