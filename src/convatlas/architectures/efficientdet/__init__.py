"""EfficientDet: the networks, their pyramid, their heads, their scaling, and the key table of others' checkpoints."""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures.efficientdet import network

FAMILY = Family(
    "efficientdet",
    title="EfficientDet",
    docstring=network.__doc__,
    rows=network.ROWS,
    shown="efficientdet_d0",
    opened=("cell1", "cell1.topdown5", "head.classes"),
)
