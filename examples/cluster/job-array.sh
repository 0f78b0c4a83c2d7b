#!/bin/sh
# Predict a large volume in the tasks of a Slurm job array, without a scheduler: each computes its part of the tiles.
# Usage: mitotools tile raw.zarr plan.json --size 128,1024,1024
#        sbatch --array=1-16 examples/cluster/job-array.sh plan.json tiles/ -m model.safetensors
#        mitotools merge tiles/ maps.zarr          when all are done
#
# A task that was killed is submitted again as it was: tiles that are there are kept.
#SBATCH --job-name=mitotools-predict
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --gres=gpu:1
#SBATCH --time=12:00:00
set -eu

: "${MITOTOOLS_VENV:=.venv}"
PATH=$MITOTOOLS_VENV/bin:$PATH

mitotools predict "$@" --part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --resume
