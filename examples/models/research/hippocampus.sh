#!/bin/sh
# Train the research model further on what hippocampus.py made: sh hippocampus.sh FOLDER MODEL.safetensors [OPTION of train...]
#
# Cubes can be turned in 48 ways; augmentation is mild, since it is this tissue alone which the model is for.
set -eu
here=$(dirname "$0") folder=$1 model=$2
shift 2
set -- "$model" --patch 128,128,128 --recipe mild \
    --set warmup_iterations=50 --set ema_decay=0.995 --iterations 1050 \
    --init "$here/mitotools_research/research.safetensors" "$@"
for name in y0 x0 z1 y1 x1; do
    set -- "$@" --also "$folder/${name}_raw.h5" "$folder/${name}_labels.h5"
done
exec mitotools train "$folder/z0_raw.h5" "$folder/z0_labels.h5" "$@"
