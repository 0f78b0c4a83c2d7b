#!/bin/sh
# Predict a large volume in the tasks of a Slurm job array, without a scheduler: each computes its part of one zarr.
# Usage: sbatch --array=1-16 examples/cluster/job-array.sh raw.zarr maps.zarr -m model.safetensors
#        MITOTOOLS_PARTS=16 sbatch --array=3,7 ...      some of the 16 again; tasks are counted from 1
#
# The task that completes the set gives maps.zarr its name. One that was killed is submitted again as it was: blocks
# that are there are kept. Instead of a zarr, the tasks can write the tiles of a plan, which merge assembles.
#SBATCH --job-name=mitotools-predict
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --gres=gpu:1
#SBATCH --time=12:00:00
set -eu

: "${MITOTOOLS_VENV:=.venv}" "${MITOTOOLS_PARTS:=$SLURM_ARRAY_TASK_COUNT}"
PATH=$MITOTOOLS_VENV/bin:$PATH

mitotools predict "$@" --part "$SLURM_ARRAY_TASK_ID/$MITOTOOLS_PARTS" --resume
