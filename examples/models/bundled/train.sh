#!/bin/sh
# Train the bundled model: sh train.sh MEDULLA.h5 FOLDER MODEL.safetensors [OPTION of train...]
#
# MEDULLA.h5 has raw, labels and ambiguous (1 where labels are unsure). FOLDER gets three cubes of phantoms. A
# training draws from each volume it is given equally often: four of seven patches are real tissue.
set -eu
data=$1 folder=$2 model=$3
here=$(dirname "$0")
shift 3
set -- "$model" --config "$here/bundled.toml" --ignore "$data:ambiguous" "$@"
for _ in 1 2 3; do
    set -- "$@" --also "$data:raw" "$data:labels" --also-ignore "$data:ambiguous"
done
mkdir -p "$folder"
for seed in 1 2 3; do
    phantoms=$folder/phantoms_$seed.h5
    [ -e "$phantoms" ] || python "$here/phantoms.py" "$phantoms" "${PHANTOM_SIDE:-192}" "$seed"
    set -- "$@" --also "$phantoms:raw" "$phantoms:labels"
done
exec mitotools train "$data:raw" "$data:labels" "$@"
