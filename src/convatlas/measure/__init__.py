"""Measurements: the speed of networks beside the machine's peak, the cost of a step, a rate and a batch size."""

from __future__ import annotations

from convatlas.measure.finders import find_batch_size, find_lr

__all__ = ["find_batch_size", "find_lr"]
