"""Dual path networks: one file for each scale."""

from __future__ import annotations

from convatlas.architectures.dpn import cifar, imagenet

ARCHITECTURES = (*imagenet.ARCHITECTURES, *cifar.ARCHITECTURES)
