"""Counts the parameters, multiply-adds, stages and receptive fields of a network without its arithmetic."""

from __future__ import annotations

from convatlas.complexity.axes import Axis
from convatlas.complexity.counting import UNFIT, count, is_layer, parameter_count, refused
from convatlas.complexity.field_rules import Field
from convatlas.complexity.networks import (
    check_training,
    complexity,
    meta_network,
    network_complexity,
    outline,
    smallest_size,
)
from convatlas.complexity.parts import (
    BYTES,
    GATHERS,
    Complexity,
    Part,
    macs_of,
    operation_of,
    output_of,
    side_of,
    size_of,
)
from convatlas.complexity.receptive_field import Fields
from convatlas.complexity.wording import detail_of
from convatlas.device.meta import Watcher, carried_out

__all__ = [
    "BYTES",
    "GATHERS",
    "UNFIT",
    "Axis",
    "Complexity",
    "Field",
    "Fields",
    "Part",
    "Watcher",
    "carried_out",
    "check_training",
    "complexity",
    "count",
    "detail_of",
    "is_layer",
    "macs_of",
    "meta_network",
    "network_complexity",
    "operation_of",
    "outline",
    "output_of",
    "parameter_count",
    "refused",
    "side_of",
    "size_of",
    "smallest_size",
]
