"""Big Transfer (BiT): the published networks, and a small one of the same units."""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures.bit import cifar, imagenet

FAMILY = Family(
    "bit",
    title="Big Transfer",
    docstring=imagenet.__doc__,
    rows=(*imagenet.ROWS, *cifar.ROWS),
    shown="bit_resnet50x1",
    opened=("stage2.0",),
    lineage=("bit_resnet50x1", "bit_resnet152x4"),
)
