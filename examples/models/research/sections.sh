#!/bin/sh
# Train the model of sections on what sections.py made: sh sections.sh FOLDER MODEL.safetensors [OPTION of train...]
#
# First with varied grey values, then plainly: in the end it may matter how dark a body is. With --resume it continues.
#
# A training draws from each volume it is given equally often: first seven of 16 patches are cortex, three larva, three
# hippocampus and three medulla, then 14 of 23 are cortex. They show 1.9 um of the plane, which tell myelin from
# mitochondria.
set -eu
here=$(dirname "$0") folder=$1 model=$2 first=${2%.safetensors}-first.safetensors
shift 2
for name in medulla_z medulla_y medulla_x; do
    set -- --also "$folder/${name}_raw.h5" "$folder/${name}_labels.h5" --also-ignore "$folder/${name}_ignore.h5" "$@"
done
for name in cortex_z cortex_z cortex_z cortex_z cortex_z cortex_z larva_z larva_z larva_z lucchi_z lucchi_y lucchi_x; do
    set -- "$@" --also "$folder/${name}_raw.h5" "$folder/${name}_labels.h5"
done
train() {
    mitotools train "$folder/cortex_z_raw.h5" "$folder/cortex_z_labels.h5" --patch 12,320,320 "$@"
}
train "$first" --preset sections --config "$here/sections.toml" --iterations 1250 "$@"
for _ in 1 2 3 4 5 6 7; do
    set -- "$@" --also "$folder/cortex_z_raw.h5" "$folder/cortex_z_labels.h5"
done
train "$model" --init "$first" --recipe plain --iterations 400 "$@"
