"""GoogLeNet: one file for each scale."""

from __future__ import annotations

from convatlas.architectures.googlenet import imagenet, teaching, uva

ARCHITECTURES = (*imagenet.ARCHITECTURES, *teaching.ARCHITECTURES, *uva.ARCHITECTURES)
