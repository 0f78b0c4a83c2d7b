#!/bin/sh
# One table: what mitotools takes beside the alternatives, each ratio within one run. About 7 minutes on two cores.
# Usage: sh tests/benchmarks/compare.sh [SCRIPT...]      all that each script prints goes to standard error
#
# Needs .venv as tests/run.sh makes it, and a machine with nothing else to do.
set -eu
cd "$(dirname "$0")"

PATH=$PWD/../../.venv/bin:$PATH
[ $# -gt 0 ] ||
    set -- help_speed hdf5_speed zarr_speed convert_speed decode_speed tune_speed evaluate_speed stats_speed skeleton_speed
echo "| | compared with | ratio | promised | kept |"
echo "| --- | --- | ---: | --- | --- |"
for script in "$@"; do
    python "${script%.py}.py" | tee /dev/stderr | grep '^|'
done
