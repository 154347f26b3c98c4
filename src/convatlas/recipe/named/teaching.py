"""The recipes of tutorials, textbooks and lecture slides."""

from __future__ import annotations

from convatlas.recipe.fields import Recipe

_UVA_SOURCE = (
    "University of Amsterdam deep learning tutorial 5 (Lippe 2020), "
    "https://uvadlc-notebooks.readthedocs.io/en/latest/tutorial_notebooks/tutorial5/Inception_ResNet_DenseNet.html"
)
_SLIDES_SOURCE = (
    "https://github.com/hoya012/pytorch-densenet, passed on in lecture slides: without the paper's weight decay and "
    "Nesterov's momentum"
)
_TEXTBOOK_SOURCE = (
    "Dive into Deep Learning (Zhang, Lipton, Li, Smola 2021), chapter modern convolutional networks, "
    "https://d2l.ai/chapter_convolutional-modern/index.html, in the form of a notebook for CIFAR-10: plain gradient "
    "descent, no augmentation. It selects and reports on the test images; here a held-out part selects"
)

RECIPES = (
    Recipe(
        name="uva_sgd",
        source=_UVA_SOURCE,
        expected="CIFAR-10 test: resnet_uva 91.06 %, preact_resnet_uva 91.07 % (published, one seed)",
        epochs=180,
        batch_size=128,
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="multi_step",
        milestones=(100, 150),
        gamma=0.1,
        image_size=32,
        mean=(0.49139968, 0.48215841, 0.44653091),
        std=(0.24703223, 0.24348513, 0.26158784),
        crop="resized",
        crop_scale=(0.8, 1.0),
        crop_ratio=(0.9, 1.1),
        flip=0.5,
    ),
    Recipe(
        name="uva_adam",
        source=_UVA_SOURCE + "; its 'Adam' is AdamW",
        expected="CIFAR-10 test: googlenet_uva 89.70 %, densenet_uva 90.23 % (published, one seed)",
        epochs=180,
        batch_size=128,
        optimizer="adamw",
        lr=1e-3,
        weight_decay=1e-4,
        schedule="multi_step",
        milestones=(100, 150),
        gamma=0.1,
        image_size=32,
        mean=(0.49139968, 0.48215841, 0.44653091),
        std=(0.24703223, 0.24348513, 0.26158784),
        crop="resized",
        crop_scale=(0.8, 1.0),
        crop_ratio=(0.9, 1.1),
        flip=0.5,
    ),
    Recipe(
        name="densenet_slides",
        source=_SLIDES_SOURCE,
        expected="not known: its source names no accuracy that was checked",
        epochs=300,
        batch_size=64,
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        schedule="multi_step",
        milestones=(150, 225),
        gamma=0.1,
        image_size=32,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        crop="pad4",
        flip=0.5,
        drop_last=False,
    ),
    Recipe(
        name="textbook",
        source=_TEXTBOOK_SOURCE,
        expected="CIFAR-10 test: alexnet_textbook 77.68 %, vgg11_textbook 53.88 %, vgg11_textbook_small 49.49 %, "
        "nin_textbook 50.00 %, densenet_textbook 74.58 %; MNIST: nin_textbook_mnist 98.66 % (published, last epoch)",
        epochs=10,
        batch_size=128,
        optimizer="sgd",
        lr=0.1,
        image_size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        drop_last=False,
    ),
    Recipe(
        name="textbook_resnet",
        source=_TEXTBOOK_SOURCE,
        expected="CIFAR-10 test: resnet18_textbook 81.63 % (published, last epoch)",
        epochs=10,
        batch_size=128,
        optimizer="sgd",
        lr=0.05,
        image_size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        drop_last=False,
    ),
    Recipe(
        name="textbook_96",
        source=_TEXTBOOK_SOURCE,
        expected="CIFAR-10 test: googlenet_textbook 68.63 % (published, last epoch)",
        epochs=10,
        batch_size=128,
        optimizer="sgd",
        lr=0.1,
        image_size=96,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        drop_last=False,
    ),
    Recipe(
        name="tutorial_adam",
        source="https://github.com/yunjey/pytorch-tutorial, deep residual network, passed on in lecture slides: a "
        "third of the rate every 20 epochs, images in [0, 1] without normalisation",
        expected="not known: its source names no accuracy that was checked",
        epochs=80,
        batch_size=100,
        optimizer="adam",
        lr=1e-3,
        schedule="multi_step",
        milestones=(20, 40, 60),
        gamma=1 / 3,
        image_size=32,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        crop="pad4",
        flip=0.5,
        drop_last=False,
    ),
)
