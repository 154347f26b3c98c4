"""densenet: one file for each scale."""

from __future__ import annotations

from convatlas.architectures.densenet import cifar, uva

ARCHITECTURES = (*uva.ARCHITECTURES, *cifar.ARCHITECTURES)
