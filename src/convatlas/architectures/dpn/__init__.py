"""Dual path networks: one file for each scale."""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures.dpn import cifar, imagenet

FAMILY = Family(
    "dpn",
    title="Dual path networks",
    docstring=imagenet.__doc__,
    rows=(*imagenet.ROWS, *cifar.ROWS),
    shown="dpn68",
    opened=("stage2.0", "stage2.1"),
    lineage=("dpn131",),
)
