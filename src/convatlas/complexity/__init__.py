"""What a network costs and sees, without arithmetic: parameters, multiply-adds, stages, receptive fields."""

from __future__ import annotations

from convatlas.complexity.counting import (
    UNFIT,
    Complexity,
    Part,
    check_training,
    complexity,
    count,
    meta_network,
    network_complexity,
    outline,
    parameter_count,
)
from convatlas.complexity.receptive_field import Axis, Field, Fields

__all__ = [
    "UNFIT",
    "Axis",
    "Complexity",
    "Field",
    "Fields",
    "Part",
    "check_training",
    "complexity",
    "count",
    "meta_network",
    "network_complexity",
    "outline",
    "parameter_count",
]
