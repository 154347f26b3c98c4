"""The recipes of papers."""

from __future__ import annotations

from convatlas.recipe.fields import Recipe

# 45,000 training images are 352 batches of 128: 64,000, 32,000 and 48,000 iterations are 181.8, 90.9 and 136.4 epochs.
_HE_SOURCE = (
    "He, Zhang, Ren, Sun 2015, https://arxiv.org/abs/1512.03385, section 4.2, and 2016, "
    "https://arxiv.org/abs/1603.05027, appendix: 64k iterations, a tenth of the rate at 32k and 48k, rounded to epochs "
    "of 45,000 images. Left out: their warm-up at a rate of 0.01 (2015 for ResNet-110, until the training error is "
    "below 80 %, about 400 iterations; 2016 for all, 400 iterations). Other than theirs: a mean and std per channel, "
    "where 2015 subtracts the mean of each pixel"
)
_DENSENET_SOURCE = (
    "Huang, Liu, van der Maaten, Weinberger 2016, https://arxiv.org/abs/1608.06993, section 4.2, and the authors' "
    "code, https://github.com/liuzhuang13/DenseNet, which has Nesterov's momentum and the mean and std, in 255ths"
)
_PREACT_SOURCE = (
    "He, Zhang, Ren, Sun 2016, https://arxiv.org/abs/1603.05027, appendix: 64k iterations, 0.01 for the first 400, a "
    "tenth of the rate at 32k and 48k, rounded to epochs of 45,000 images"
)
_WIDE_SOURCE = (
    "Zagoruyko, Komodakis 2016, https://arxiv.org/abs/1605.07146, section 3, and the authors' code, "
    "https://github.com/szagoruyko/wide-residual-networks, which has the mean and std, in 255ths. Other than theirs: "
    "the crop pads with black, where the code reflects the image"
)
_RESNEXT_SOURCE = (
    "Xie, Girshick, Dollar, Tu, He 2016, https://arxiv.org/abs/1611.05431, section 5.3 and the authors' code, "
    "https://github.com/facebookresearch/ResNeXt: 300 epochs of batches of 128, a tenth of the rate at 150 "
    "and 225"
)
_INCEPTION_SOURCE = (
    "Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2015, https://arxiv.org/abs/1512.00567, sections 7 and 8: RMSProp with "
    "an epsilon of 1, on 50 replicas of which each takes 32 images and moves the weights by itself; here it is one. "
    "The average of the weights is evaluated; its decay is that of the authors' code, TF-slim"
)
_EFFICIENTNET_SOURCE = (
    "Tan, Le 2019, https://arxiv.org/abs/1905.11946, section 5.2, and the authors' code, "
    "https://github.com/tensorflow/tpu: 0.016 per 256 images, 350 epochs. Left out: AutoAugment"
)
_BIT_SOURCE = (
    "Kolesnikov et al. 2019, https://arxiv.org/abs/1912.11370, section 3.3: the upstream training of BiT-S, with 5,000 "
    "steps of warm-up, which are 16 epochs of the 1,281,167 images of ImageNet in batches of 4096"
)

RECIPES = (
    Recipe(
        name="he_cifar",
        source=_HE_SOURCE,
        expected="CIFAR-10 test: resnet20 91.25 %, resnet56 93.03 %, resnet110 93.57 % (best of 5; mean 93.39 %), "
        "preact_resnet164 94.54 % (median of 5) (published, the deeper ones with warm-up)",
        epochs=182,
        batch_size=128,
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="multi_step",
        milestones=(91, 136),
        gamma=0.1,
        image_size=32,
        crop="pad4",
        flip=0.5,
        drop_last=False,
    ),
    Recipe(
        name="densenet_cifar",
        source=_DENSENET_SOURCE,
        expected="CIFAR-10 test: densenet_40_12 94.76 %, densenet_bc_100_12 95.49 % (published, trained on all 50,000)",
        epochs=300,
        batch_size=64,
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        schedule="multi_step",
        milestones=(150, 225),
        gamma=0.1,
        image_size=32,
        mean=(125.3 / 255, 123.0 / 255, 113.9 / 255),
        std=(63.0 / 255, 62.1 / 255, 66.7 / 255),
        crop="pad4",
        flip=0.5,
        drop_last=False,
    ),
    Recipe(
        name="preact_cifar",
        source=_PREACT_SOURCE,
        expected="CIFAR-10 test: preact_resnet164 94.54 %, preact_resnet1001 95.08 % (published, median of 5)",
        epochs=182,
        batch_size=128,
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="multi_step",
        milestones=(91, 136),
        gamma=0.1,
        warmup_epochs=400 / 352,
        warmup="constant",
        warmup_lr=0.01,
        image_size=32,
        crop="pad4",
        flip=0.5,
        drop_last=False,
    ),
    Recipe(
        name="wide_cifar",
        source=_WIDE_SOURCE,
        expected="CIFAR-10 test: wide_resnet28_10 96.00 % (published, median of 5)",
        epochs=200,
        batch_size=128,
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        schedule="multi_step",
        milestones=(60, 120, 160),
        gamma=0.2,
        image_size=32,
        mean=(125.3 / 255, 123.0 / 255, 113.9 / 255),
        std=(63.0 / 255, 62.1 / 255, 66.7 / 255),
        crop="pad4",
        flip=0.5,
        drop_last=False,
    ),
    Recipe(
        name="resnext_cifar",
        source=_RESNEXT_SOURCE,
        expected="not known: no accuracy of a network that is here was checked",
        epochs=300,
        batch_size=128,
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="multi_step",
        milestones=(150, 225),
        gamma=0.1,
        image_size=32,
        crop="pad4",
        flip=0.5,
        drop_last=False,
    ),
    Recipe(
        name="inception_v3",
        source=_INCEPTION_SOURCE,
        expected="ImageNet, one crop: 78.8 % with all of it (published)",
        epochs=100,
        batch_size=32,
        optimizer="rmsprop",
        lr=0.045,
        rms_decay=0.9,
        epsilon=1.0,
        clip_norm=2.0,
        ema=0.9999,
        schedule="step",
        gamma=0.94,
        decay_epochs=2.0,
        image_size=299,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        flip=0.5,
        crop="resized",
        crop_scale=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        label_smoothing=0.1,
    ),
    Recipe(
        name="efficientnet",
        source=_EFFICIENTNET_SOURCE,
        expected="ImageNet, one crop: tf_efficientnet_b0 76.7 % (published, without AutoAugment)",
        epochs=350,
        batch_size=4096,
        optimizer="rmsprop",
        lr=0.256,
        momentum=0.9,
        rms_decay=0.9,
        epsilon=1e-3,
        weight_decay=1e-5,
        weight_decay_on="weights",
        ema=0.9999,
        schedule="step",
        gamma=0.97,
        decay_epochs=2.4,
        warmup_epochs=5.0,
        image_size=224,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        flip=0.5,
        crop="resized",
        crop_scale=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        label_smoothing=0.1,
        stochastic_depth=0.2,
    ),
    Recipe(
        name="bit_pretraining",
        source=_BIT_SOURCE,
        expected="not known: the accuracies that were checked are of networks fine-tuned afterwards",
        epochs=90,
        batch_size=4096,
        optimizer="sgd",
        lr=0.48,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="multi_step",
        milestones=(30, 60, 80),
        gamma=0.1,
        warmup_epochs=16.0,
        image_size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        flip=0.5,
        crop="resized",
        crop_scale=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
    ),
)
