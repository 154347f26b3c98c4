"""Explains the answers of a network: filters, feature maps and attributions, as pictures and one page."""

from __future__ import annotations

from convatlas.insight.explain.asking import Wanted
from convatlas.insight.explain.material import material_for
from convatlas.insight.explain.methods import METHODS, check_captum
from convatlas.insight.explain.writing import Explanation, explain

__all__ = ["METHODS", "Explanation", "Wanted", "check_captum", "explain", "material_for"]
