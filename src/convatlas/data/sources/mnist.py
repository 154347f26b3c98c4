"""MNIST and Fashion-MNIST: 70,000 grey images of 28 x 28 pixels each, in ten classes."""

from __future__ import annotations

from dataclasses import replace

from convatlas.data.dataset import Source, Spec
from convatlas.data.sources.collection import Collection
from convatlas.data.sources.identity import IDX_CHECKSUMS, IDX_NAMES
from convatlas.data.sources.layouts.idx import IdxFiles
from convatlas.data.sources.layouts.parquet import ParquetFiles
from convatlas.data.sources.layouts.parts import Form
from convatlas.download import RemoteFile

_DIGITS = Form(channels=1, image_size=28, class_names=tuple("0123456789"), train_count=60_000, test_count=10_000)
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_MNIST_HOMES = ("MNIST/raw", "MNIST", "mnist", "mnist/raw")
_FASHION_HOMES = ("FashionMNIST/raw", "FashionMNIST", "fashion_mnist", "fashion-mnist")
_LAYOUTS = (IdxFiles(), ParquetFiles(labels="label"))


def _files(name: str, folder: str, addresses: tuple[str, ...]) -> tuple[RemoteFile, ...]:
    """Returns the four files of a collection, each below every address."""
    return tuple(
        RemoteFile(f"{folder}/{file}-ubyte.gz", checksum, tuple(f"{address}{file}-ubyte.gz" for address in addresses))
        for file, checksum in zip(IDX_NAMES, IDX_CHECKSUMS[name], strict=True)
    )


MNIST_FILES = Collection(
    name="mnist",
    form=_DIGITS,
    homes=_MNIST_HOMES,
    others=_FASHION_HOMES,
    layouts=_LAYOUTS,
    files=_files(
        "mnist",
        "MNIST/raw",
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    ),
)

FASHION_MNIST_FILES = Collection(
    name="fashion_mnist",
    form=replace(_DIGITS, class_names=_CLOTHES),
    homes=_FASHION_HOMES,
    others=_MNIST_HOMES,
    layouts=_LAYOUTS,
    files=_files(
        "fashion_mnist",
        "FashionMNIST/raw",
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
    ),
)

MNIST = Source(
    Spec(
        name="mnist",
        title="MNIST: handwritten digits",
        source="LeCun, Cortes and Burges 1998, http://yann.lecun.com/exdb/mnist/",
        class_names=_DIGITS.class_names,
        channels=1,
        image_size=28,
        mirror=False,
    ),
    read=MNIST_FILES.read,
)

FASHION_MNIST = Source(
    Spec(
        name="fashion_mnist",
        title="Fashion-MNIST: articles of clothing",
        source="Xiao, Rasul and Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist",
        class_names=_CLOTHES,
        channels=1,
        image_size=28,
        mirror=True,  # a shoe that points the other way is still a shoe
    ),
    read=FASHION_MNIST_FILES.read,
)
