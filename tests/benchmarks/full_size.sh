#!/bin/sh
# README's table of the full size: 1/64, 1/8 and all of MitoEM's test volume, each on two threads and on a Dask
# cluster of two processes.
# Usage: sh tests/benchmarks/full_size.sh FOLDER      needs 60 GB there, and .venv as tests/run.sh makes it
set -eu
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
exec .venv/bin/python tests/benchmarks/full_size.py "$folder" \
    --size 125,1024,1024 --size 250,2048,2048 --size 500,4096,4096 --workers 2
