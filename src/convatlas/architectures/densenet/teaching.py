"""DenseNets that are taught."""

from __future__ import annotations

from convatlas.architecture import Architecture

ARCHITECTURES: tuple[Architecture, ...] = ()
