#!/bin/sh
# Train on the GPUs of one or several nodes of a Slurm cluster.
# Usage: sbatch --nodes=2 --gres=gpu:4 examples/cluster/train.sh raw.zarr labels.zarr model.safetensors --batch 32
#
# --batch counts the patches of all GPUs together. A job that ran out of time continues when it is submitted again:
# --resume. Files must lie where all nodes see them.
#SBATCH --job-name=mitotools-train
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --time=24:00:00
set -eu

: "${MITOTOOLS_VENV:=.venv}"
PATH=$MITOTOOLS_VENV/bin:$PATH
# Known to all nodes, and below the ports that systems give to connections (from 32768).
port=$((20000 + SLURM_JOB_ID % 10000))

# Since Slurm 22.05 srun does not take the processors of its job unless it is told.
export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"

# Without the --, torchrun would take --log for an option of its own.
srun torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" \
    --rdzv-backend c10d --rdzv-endpoint "$(hostname):$port" --rdzv-id "$SLURM_JOB_ID" \
    -m -- mitotools train "$@" --resume
