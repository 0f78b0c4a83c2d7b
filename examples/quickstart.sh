#!/bin/sh
# The whole pipeline on real electron microscopy: find the mitochondria in a crop of fly medulla, with the bundled
# model, then with one that was trained further on another crop (which the bundled one has seen, so that it shows how,
# and gains little).
# About six minutes on two cores. What is there from an earlier run is used again; delete quickstart/ to start over.
#
# MITOTOOLS_QUICKSTART_MINUTES   minutes of training (3)
set -eu
cd "$(dirname "$0")/.."
minutes=${MITOTOOLS_QUICKSTART_MINUTES:-3}

sh examples/install.sh
PATH=$PWD/.venv/bin:$PATH
mkdir -p quickstart
cd quickstart
data=../examples/data

# step OUTPUT "what it does" COMMAND...: say it, show the command, and run it unless its output is there.
step() {
    output=$1
    printf '\n# %s\n' "$2" >&2
    shift 2
    printf '$ %s\n' "$*" >&2
    if [ -e "$output" ]; then
        echo "($output is there already)" >&2
    else
        "$@"
    fi
}

step raw.zarr "Convert the volume to OME-Zarr" \
    mitotools convert $data/medulla_test.h5:raw raw.zarr
step plan.json "Plan tiles: on a cluster, each would be a job" \
    mitotools tile raw.zarr plan.json --size 64,160,160
step tiles "Predict the tiles with the bundled model" \
    mitotools predict plan.json tiles --tta 4
step maps.zarr "Merge the tiles: the same maps as without tiles" \
    mitotools merge tiles maps.zarr
step labels.zarr "Split the maps into instances by marker-controlled watershed" \
    mitotools decode maps.zarr labels.zarr
step mitochondria.zarr "Drop what is too small" \
    mitotools filter labels.zarr mitochondria.zarr --min-size 2000
step overlay.png "Draw outlines: the prediction above, the truth below" \
    mitotools view raw.zarr mitochondria.zarr $data/medulla_test.h5:labels -o overlay.png --slices 20,64,108

step stats.tsv "Measure: volume in cubic micrometres, bounding box in voxels, centroid in nanometres" \
    mitotools stats mitochondria.zarr -o stats.tsv
echo "The first rows:" >&2
head -n 5 stats.tsv
step "" "Score against the truth (a silver standard: no expert has checked it)" \
    mitotools evaluate mitochondria.zarr $data/medulla_test.h5:labels --iou 0.5 --iou 0.75 --format markdown
step "" "Every file keeps how it came to be" \
    mitotools info mitochondria.zarr --history

step model.safetensors "Train the model further for $minutes minutes, in small steps (it has seen this cube: little to gain)" \
    mitotools train $data/medulla_train.h5:raw $data/medulla_train.h5:labels model.safetensors \
    --init bundled --minutes "$minutes" --set learning_rate=0.0001
step own_maps.zarr "Predict with it" \
    mitotools predict raw.zarr own_maps.zarr -m model.safetensors --tta 4
step own.zarr "Decode, and drop what is too small, in one step" \
    mitotools decode own_maps.zarr own.zarr --min-size 2000
step "" "Score that" \
    mitotools evaluate own.zarr $data/medulla_test.h5:labels --iou 0.5 --iou 0.75 --format markdown
echo
echo "The picture is quickstart/overlay.png, the table quickstart/stats.tsv."
