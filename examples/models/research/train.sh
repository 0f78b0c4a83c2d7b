#!/bin/sh
# Train the research model on what prepare.py made: sh train.sh FOLDER MODEL.safetensors [OPTION of train...]
#
# It goes on from the bundled model, with its settings, and patches that show more of the plane: 1.9 um tell myelin from
# mitochondria.
#
# A training draws from each volume it is given equally often: five of 18 patches are cortex, three larva, six
# Lucchi's and four medulla.
set -eu
folder=$1 model=$2
shift 2
set -- "$model" --init bundled --patch 32,192,192 --iterations 4000 --ignore "$folder/medulla_z_ignore.h5" "$@"
for name in medulla_y medulla_x medulla_z-cut; do
    set -- "$@" --also "$folder/${name}_raw.h5" "$folder/${name}_labels.h5" --also-ignore "$folder/${name}_ignore.h5"
done
for name in lucchi_z lucchi_y lucchi_x lucchi_z-cut lucchi_y-cut lucchi_x-cut \
    cortex_z cortex_z cortex_z cortex_z cortex_z larva_z larva_z larva_z; do
    set -- "$@" --also "$folder/${name}_raw.h5" "$folder/${name}_labels.h5"
done
exec mitotools train "$folder/medulla_z_raw.h5" "$folder/medulla_z_labels.h5" "$@"
