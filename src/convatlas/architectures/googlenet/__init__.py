"""GoogLeNet."""

from __future__ import annotations

from convatlas.architectures.googlenet import uva

ARCHITECTURES = uva.ARCHITECTURES
