"""Sources that more than one family cites."""

from __future__ import annotations

from pathlib import PurePosixPath

from convatlas.architecture import KeyTables, Paper, Published, Weights
from convatlas.data_names import CIFAR10_CLASSES
from convatlas.values import Interpolation

UVA_TUTORIAL = Paper(
    "UvA deep learning tutorial 5: Inception, ResNet and DenseNet",
    "Lippe",
    2020,
    "https://uvadlc-notebooks.readthedocs.io/en/latest/tutorial_notebooks/tutorial5/Inception_ResNet_DenseNet.html",
)


def uva_published(*, validation: float, test: float) -> tuple[Published, Published]:
    """Returns the accuracies of the tutorial's result table: CIFAR-10, 180 epochs, best validation epoch, one seed."""
    source = "the tutorial's result table"
    return Published(validation, "validation", "cifar10", source), Published(test, "test", "cifar10", source)


def uva_weights(file: str, *, sha256: str, keys: KeyTables) -> Weights:
    """Returns one of the tutorial's four published checkpoints, with the normalisation that it was trained with."""
    return Weights(
        "uva",
        url=f"https://raw.githubusercontent.com/phlippe/saved_models/main/tutorial5/{file}",
        sha256=sha256,
        keys=keys,
        mean=(0.49139968, 0.48215841, 0.44653091),
        std=(0.24703223, 0.24348513, 0.26158784),
        image_size=32,
        dataset="cifar10",
        class_names=CIFAR10_CLASSES,
    )


TEXTBOOK = Paper(
    "Dive into Deep Learning",
    "Zhang, Lipton, Li, Smola",
    2021,
    "https://d2l.ai/chapter_convolutional-modern/index.html",
)


def textbook_published(top1: float, dataset: str, *, pixels: int) -> tuple[Published, ...]:
    """Returns an accuracy that the textbook's notebook prints after its 10 epochs; it validates on the test images."""
    source = f"the textbook's notebook, {dataset} at {pixels} pixels, 10 epochs, last epoch, one seed"
    return (Published(top1, "test", dataset, source),)


def torchvision_weights(
    file: str,
    *,
    keys: KeyTables,
    name: str = "torchvision",
    shorter_side: int = 256,
    image_size: int = 224,
    interpolation: Interpolation = "bilinear",
) -> Weights:
    """Returns a checkpoint of torchvision, trained on ImageNet. The file's name ends with the start of its sha256."""
    return Weights(
        name,
        url=f"https://download.pytorch.org/models/{file}",
        sha256=PurePosixPath(file).stem.rpartition("-")[2],
        keys=keys,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        image_size=image_size,
        dataset="imagenet",
        shorter_side=shorter_side,
        interpolation=interpolation,
    )


def torchvision_published(top1: float, *, version: str = "IMAGENET1K_V1", pixels: int = 224) -> Published:
    """Returns the accuracy that torchvision states for a checkpoint: ImageNet's validation images, one central crop."""
    return Published(top1, "validation", "imagenet", f"torchvision's {version} weights, one crop of {pixels} pixels")


# timm's names in its pre-activation ResNets, BiT included. The first unit of a stage has a projection.
TIMM_RESNETV2_KEYS: dict[str, str | None] = {
    "stem.conv": "stem.conv",
    "stages.{}.blocks.0.downsample.conv": "stage{+1}.0.paths.shortcut",
    "stages.{}.blocks.0.conv1": "stage{+1}.0.paths.branch.conv1",
    "stages.{}.blocks.0.norm1": "stage{+1}.0.norm",
    "stages.{}.blocks.0.conv{}": "stage{+1}.0.paths.branch.conv{}.conv",
    "stages.{}.blocks.0.norm{}": "stage{+1}.0.paths.branch.conv{}.norm",
    "stages.{}.blocks.{}.conv{}": "stage{+1}.{}.branch.conv{}.conv",
    "stages.{}.blocks.{}.norm{}": "stage{+1}.{}.branch.conv{}.norm",
    "norm": "norm",
    "head.fc": "head.fc",
}
