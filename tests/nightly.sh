#!/bin/sh
# What takes too long for every change: the slow tests, and the long form of the tests of faults. Every word of every
# text is replaced; every command is killed before each change that it makes to the names of its files; and for each
# seed there are 200 kills, 200 disks that fail, too little memory 100 times, a clock that is set, and 100 000 damaged
# files a reader. About two hours a seed on two cores.
# Usage: sh tests/nightly.sh [SEED...]      MITOTOOLS_FUZZ_COUNT, MITOTOOLS_KILLS, _DISKS, _LIMITS: fewer
#
# Needs .venv as tests/run.sh makes it. Files that did harm are kept in tests/faults/found: put them right, and add
# them to tests/corpus/READER under a name that says what was wrong.
set -eu
cd "$(dirname "$0")/.."

PATH=$PWD/.venv/bin:$PATH
PYTHONPATH=$PWD:$PWD/tests
export PATH PYTHONPATH
[ $# -gt 0 ] || set -- "$(date +%Y%m%d)"
failed=0
python -m pytest -m slow --numprocesses 2 --dist loadfile || failed=1
python tests/faults/fuzz.py --words --keep tests/faults/found || failed=1
python tests/faults/moments.py || failed=1
for seed in "$@"; do
    python tests/faults/kills.py --seed "$seed" --count "${MITOTOOLS_KILLS:-200}" || failed=1
    python tests/faults/memory.py --seed "$seed" --count "${MITOTOOLS_LIMITS:-100}" || failed=1
    python tests/faults/clocks.py --seed "$seed" --count 19 || failed=1
    python tests/faults/disks.py --seed "$seed" --count "${MITOTOOLS_DISKS:-200}" || failed=1
    python tests/faults/fuzz.py --seed "$seed" --count "${MITOTOOLS_FUZZ_COUNT:-100000}" --keep tests/faults/found ||
        failed=1
done
exit "$failed"
