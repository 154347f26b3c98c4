"""Sources that more than one family cites."""

from __future__ import annotations

from convatlas.architecture import KeyTables, Paper, Published, Weights

UVA_TUTORIAL = Paper(
    "UvA deep learning tutorial 5: Inception, ResNet and DenseNet",
    "Lippe",
    2020,
    "https://uvadlc-notebooks.readthedocs.io/en/latest/tutorial_notebooks/tutorial5/Inception_ResNet_DenseNet.html",
)

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def uva_published(*, validation: float, test: float) -> tuple[Published, Published]:
    """The accuracies of the tutorial's result table: CIFAR-10, 180 epochs, best validation epoch, one seed."""
    source = "the tutorial's result table"
    return Published(validation, "validation", "cifar10", source), Published(test, "test", "cifar10", source)


def uva_weights(file: str, *, sha256: str, keys: KeyTables) -> Weights:
    """One of the four checkpoints published with the tutorial, with the normalisation it was trained with."""
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
