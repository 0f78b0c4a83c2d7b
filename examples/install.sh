#!/bin/sh
# Make or reuse .venv in the project's folder and install mitotools there, from pinned versions.
# Usage: sh examples/install.sh [EXTRA]      EXTRA: test
set -eu
cd "$(dirname "$0")/.."

extra=${1:-}
python=${PYTHON:-python3}
stamp=.venv/installed${extra:+-$extra}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "mitotools needs Python 3.11 or newer; $python is $("$python" --version). Set PYTHON=/path/to/python3." >&2
    exit 1
}
wanted=$(cat pyproject.toml examples/constraints.txt | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
echo "Installing mitotools into .venv (PyTorch among others: a few minutes) ..."
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint examples/constraints.txt \
    --editable ".${extra:+[$extra]}"
printf '%s\n' "$wanted" >"$stamp"
