"""The loss surface of networks around their weights, after Li et al. 2018: values, picture and page."""

from __future__ import annotations

from convatlas.insight.landscape.wanted import Wanted
from convatlas.insight.landscape.writing import Place, landscape

__all__ = ["Place", "Wanted", "landscape"]
