"""Disagreement: the images on which networks differ, the correlation of their errors, and their average."""

from __future__ import annotations

from convatlas.insight.disagreement.writing import write_disagreement

__all__ = ["write_disagreement"]
