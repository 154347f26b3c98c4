"""The sources of images: data sets with names, and kinds of data of one's own, a row for each."""

from __future__ import annotations

from collections.abc import Callable

from convatlas.data.boxes.kinds import BOX_KINDS
from convatlas.data.dataset import Source
from convatlas.data.sources.cifar import CIFAR10, CIFAR100
from convatlas.data.sources.digits import DIGITS
from convatlas.data.sources.folder import folder_source
from convatlas.data.sources.hub import hub_source
from convatlas.data.sources.mnist import FASHION_MNIST, MNIST
from convatlas.data.sources.shards import tar_source
from convatlas.data.sources.table import csv_source

NAMED: dict[str, Source] = {
    source.spec.name: source for source in (DIGITS, CIFAR10, CIFAR100, MNIST, FASHION_MNIST)
}  # by NAME

KINDS: dict[str, Callable[[str], Source]] = {  # by KIND: what opens KIND:REFERENCE
    "folder": folder_source,
    "csv": csv_source,
    "tar": tar_source,
    "hf": hub_source,
    **{name: kind.source for name, kind in BOX_KINDS.items()},
}
