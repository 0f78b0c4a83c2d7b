#!/bin/sh
# Train the research model on what prepare.py made: sh train.sh FOLDER MODEL.safetensors [OPTION of train...]
#
# A training draws from each volume it is given equally often. Ion beam volumes are there six times, cut along
# three axes at two depths; those of sections are named three times, so that no tissue counts much more than others.
set -eu
folder=$1 model=$2
shift 2
set -- "$model" --config "$(dirname "$0")/research.toml" --ignore "$folder/medulla_z0_ignore.h5" "$@"
for name in medulla_z1 medulla_y0 medulla_y1 medulla_x0 medulla_x1; do
    set -- "$@" --also "$folder/${name}_raw.h5" "$folder/${name}_labels.h5" --also-ignore "$folder/${name}_ignore.h5"
done
for name in lucchi_z0 lucchi_z3 lucchi_y0 lucchi_y3 lucchi_x0 lucchi_x3 cortex_z0 cortex_z0 cortex_z0 larva_z0 larva_z0 larva_z0; do
    set -- "$@" --also "$folder/${name}_raw.h5" "$folder/${name}_labels.h5"
done
exec mitotools train "$folder/medulla_z0_raw.h5" "$folder/medulla_z0_labels.h5" "$@"
