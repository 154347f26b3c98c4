"""Big Transfer (BiT): the published networks, and a small one of the same units."""

from __future__ import annotations

from convatlas.architectures.bit import cifar, imagenet

ARCHITECTURES = (*imagenet.ARCHITECTURES, *cifar.ARCHITECTURES)
