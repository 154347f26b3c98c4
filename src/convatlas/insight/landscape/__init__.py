"""The loss surface of networks around their weights, after Li et al. 2018: values, picture and page."""

from __future__ import annotations

from convatlas.insight.landscape.directions import Ignored
from convatlas.insight.landscape.surface import Statistics
from convatlas.insight.landscape.wanted import Kind, Wanted
from convatlas.insight.landscape.writing import Landscape, Place, landscape

__all__ = ["Ignored", "Kind", "Landscape", "Place", "Statistics", "Wanted", "landscape"]
