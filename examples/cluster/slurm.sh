#!/bin/sh
# Convert a large volume, or run any other command that has --scheduler, on several nodes of a Slurm cluster.
# Usage: sbatch examples/cluster/slurm.sh convert raw.h5 raw.zarr --levels 5 --resume
#
# The first task is the Dask scheduler and the command, the others are workers. Files must lie where all nodes see
# them, and the extra [cluster] be installed.
# A job that was killed, or ran out of time, continues when it is submitted again: --resume.
#SBATCH --job-name=mitotools
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=4:00:00
set -eu

: "${MITOTOOLS_VENV:=.venv}"
PATH=$MITOTOOLS_VENV/bin:$PATH

# Since Slurm 22.05 srun does not take the processors of its job unless it is told.
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"

# The scheduler takes a port that is free, and writes it into a file.
folder=$(mktemp -d)
dask scheduler --port 0 --scheduler-file "$folder/scheduler.json" --no-dashboard &
scheduler=$!
workers=
trap 'kill $scheduler $workers 2>/dev/null || :; rm -r "$folder"' EXIT
port=
until [ "$port" ]; do
    kill -0 $scheduler
    sleep 0.1
    port=$(sed -n 's/^  "address": ".*:\([0-9]*\)",$/\1/p' "$folder/scheduler.json" 2>/dev/null || :)
done
address=tcp://$(hostname):$port

srun dask worker "$address" --nthreads "$SLURM_CPUS_PER_TASK" --memory-limit 0 --no-dashboard --local-directory "${TMPDIR:-/tmp}" &
workers=$!

mitotools "$@" --scheduler "$address"
