#!/bin/sh
# The study of docs/few_labels_example.md: four methods with 4,000 labels of CIFAR-10, and a run that fails with 250.
# On a core of two: supervised 8 minutes a seed, fixmatch 37, meta_pseudo_labels 55 each, noisy_student 40, the longer
# ones 17 and 103, the last three 7.
#
#   bench/few_labels.sh DATA_DIR OUT
#
# If a run is stopped, the same line goes on with it. Afterwards: python docs/write_few_labels.py --from OUT
set -eu
DATA=${1:?the folder of CIFAR-10} OUT=${2:?the folder of the runs}
CONVATLAS=${CONVATLAS:-convatlas}

semi() { # FOLDER METHOD SEED and the rest of the command
    folder=$1 method=$2 seed=$3
    shift 3
    $CONVATLAS semi examples/small_resnet.py:small_resnet --data cifar10 --data-dir "$DATA" --out "$OUT/$folder/seed$seed" \
        --quiet --resume --method "$method" --seed "$seed" "$@"
}

study="--labels 4000 --steps 8000 --set epoch_steps=1000"
# Strong views that are weaker than the papers': the network is small.
weaker="--set rand_magnitude=5 --set rand_magnitudes=drawn --set cutout=8"

semi supervised supervised 0 $study
semi fixmatch fixmatch 0 $study --set unlabelled_ratio=2 $weaker
semi fixmatch_strong fixmatch 0 $study --set unlabelled_ratio=2
# The recipe's weight of unlabelled images, 8, is for 305,000 steps: in 2,000 its teacher learned nothing.
meta="--set unlabelled_ratio=2 --set batch_size=64 --set lr=0.03 --set warmup_steps=250 --set unlabelled_weight=1"
meta="$meta --set student_wait=0.05 $weaker"
semi meta_pseudo_labels meta_pseudo_labels 0 $study $meta
semi meta_finetuned meta_pseudo_labels 0 $study $meta --set finetune_part=0.2 --set finetune_lr=0.005
semi noisy_student noisy_student 0 $study --set unlabelled_ratio=1 --rounds 2 $weaker
# A first run of meta_pseudo_labels was still rising after 8,000 steps: twice as many.
longer="--labels 4000 --steps 16000 --set epoch_steps=1000"
semi long_supervised supervised 0 $longer
semi long_meta_pseudo_labels meta_pseudo_labels 0 $longer $meta
# Confirmation bias: every answer is believed.
semi few_supervised supervised 0 --labels 250 --steps 2000 --set epoch_steps=200
semi few_pseudo_label pseudo_label 0 --labels 250 --steps 2000 --set epoch_steps=200 --set unlabelled_ratio=2 \
    --set threshold=0 --set ramp_up=0
semi few_pseudo_label_weight5 pseudo_label 0 --labels 250 --steps 2000 --set epoch_steps=200 --set unlabelled_ratio=2 \
    --set threshold=0 --set ramp_up=0 --set unlabelled_weight=5
