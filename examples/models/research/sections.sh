#!/bin/sh
# Train the model of sections on what sections.py made: sh sections.sh FOLDER MODEL.safetensors [OPTION of train...]
#
# A training draws from each volume it is given equally often: six of 15 patches are cortex, three larva, three
# hippocampus and three medulla.
set -eu
folder=$1 model=$2
shift 2
set -- "$model" --preset sections --config "$(dirname "$0")/sections.toml" "$@"
for name in medulla_z medulla_y medulla_x; do
    set -- "$@" --also "$folder/${name}_raw.h5" "$folder/${name}_labels.h5" --also-ignore "$folder/${name}_ignore.h5"
done
for name in cortex_z cortex_z cortex_z cortex_z cortex_z larva_z larva_z larva_z lucchi_z lucchi_y lucchi_x; do
    set -- "$@" --also "$folder/${name}_raw.h5" "$folder/${name}_labels.h5"
done
exec mitotools train "$folder/cortex_z_raw.h5" "$folder/cortex_z_labels.h5" "$@"
