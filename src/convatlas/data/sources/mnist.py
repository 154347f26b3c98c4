"""MNIST and Fashion-MNIST: 70,000 grey images of 28 x 28 pixels each, in ten classes."""

from __future__ import annotations

from convatlas.data.dataset import Source, Spec
from convatlas.data.sources.collection import Collection
from convatlas.data.sources.layouts.idx import IdxFiles
from convatlas.data.sources.layouts.parquet import ParquetFiles
from convatlas.data.sources.layouts.parts import Form
from convatlas.download import RemoteFile

_FORM = Form(channels=1, image_size=28, classes=10, train_count=60_000, test_count=10_000)
_MNIST_HOMES = ("MNIST/raw", "MNIST", "mnist", "mnist/raw")
_FASHION_HOMES = ("FashionMNIST/raw", "FashionMNIST", "fashion_mnist", "fashion-mnist")
_LAYOUTS = (IdxFiles(), ParquetFiles(labels="label"))


def _files(folder: str, addresses: tuple[str, ...], checksums: dict[str, str]) -> tuple[RemoteFile, ...]:
    """Returns the four files, each below every address."""
    return tuple(
        RemoteFile(f"{folder}/{name}-ubyte.gz", checksum, tuple(f"{address}{name}-ubyte.gz" for address in addresses))
        for name, checksum in checksums.items()
    )


MNIST_FILES = Collection(
    name="mnist",
    form=_FORM,
    homes=_MNIST_HOMES,
    others=_FASHION_HOMES,
    layouts=_LAYOUTS,
    files=_files(
        "MNIST/raw",
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        {
            "train-images-idx3": "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1": "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3": "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1": "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
)

FASHION_MNIST_FILES = Collection(
    name="fashion_mnist",
    form=_FORM,
    homes=_FASHION_HOMES,
    others=_MNIST_HOMES,
    layouts=_LAYOUTS,
    files=_files(
        "FashionMNIST/raw",
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        {  # the publisher gives md5 only
            "train-images-idx3": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1": "md5:25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3": "md5:bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1": "md5:bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
)

MNIST = Source(
    Spec(
        name="mnist",
        title="MNIST: handwritten digits",
        source="LeCun, Cortes and Burges 1998, http://yann.lecun.com/exdb/mnist/",
        class_names=tuple("0123456789"),
        channels=1,
        image_size=28,
        mirror=False,
        default_recipe="quick",
    ),
    read=MNIST_FILES.read,
)

FASHION_MNIST = Source(
    Spec(
        name="fashion_mnist",
        title="Fashion-MNIST: articles of clothing",
        source="Xiao, Rasul and Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist",
        class_names=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        channels=1,
        image_size=28,
        mirror=True,  # a shoe that points the other way is still a shoe
        default_recipe="quick",
    ),
    read=FASHION_MNIST_FILES.read,
)
