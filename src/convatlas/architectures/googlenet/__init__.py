"""GoogLeNet: the paper's, and one file for each other scale and use."""

from __future__ import annotations

from convatlas.architectures.googlenet import cifar, imagenet, original, teaching, uva
from convatlas.architectures.googlenet.blocks import inception, naive_inception

__all__ = ["ARCHITECTURES", "inception", "naive_inception"]

ARCHITECTURES = (
    *original.ARCHITECTURES,
    *imagenet.ARCHITECTURES,
    *cifar.ARCHITECTURES,
    *teaching.ARCHITECTURES,
    *uva.ARCHITECTURES,
)
