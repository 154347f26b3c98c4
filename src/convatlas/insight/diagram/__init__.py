"""Diagrams of networks, drawn from the networks themselves: as a whole, or one of their blocks opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from convatlas.architecture import Architecture
from convatlas.complexity import Complexity, Part, meta_network, network_complexity, size_of
from convatlas.insight.diagram.boxes import View, blocks_of
from convatlas.insight.diagram.flow import Flow, follow
from convatlas.insight.diagram.sheet import Drawing, sheet
from convatlas.insight.diagram.svg import svg
from convatlas.insight.diagram.view import view
from convatlas.words import quantity

__all__ = ["Diagram", "Drawing", "Flow", "View", "blocks_of", "diagram", "drawing", "follow", "sheet", "svg", "view"]


@dataclass(frozen=True)
class Diagram:
    """An SVG, the paths of the closed blocks that can be opened (one of each kind), and the size of its text on A4."""

    svg: str
    blocks: tuple[str, ...]
    points: float


def diagram(row: Architecture, *, block: str = "", image_size: int | None = None, **options: Any) -> Diagram:
    """Draws an architecture, or its module `block` (such as stage2.0), opened.

    Raises `UsageError` for a block that does not exist and for an image that the network does not take.
    """
    channels, size = options.get("in_channels", row.in_channels), image_size or row.image_size
    network = meta_network(row, **options)
    counted = network_complexity(row, network, in_channels=channels, image_size=size)
    flow = follow(network, torch.empty(1, channels, size, size, device="meta"), name=row.name)
    blocks = tuple(".".join(filter(None, (block, path))) for path in blocks_of(view(flow, block)))
    drawn = drawing(flow, counted, name=row.name, block=block)
    return Diagram(svg(drawn), blocks, drawn.points)


def drawing(flow: Flow, counted: Complexity, *, name: str, block: str = "") -> Drawing:
    """Returns the drawing of a network that was followed and counted, or of one of its modules."""
    part = next((part for part in _all(counted.network) if part.name == block), counted.network)
    title = f"{name}: {block}" if block else name
    counts = f"{quantity(part.params)} parameters, {part.at_least}{quantity(part.macs)} MACs"
    return sheet(view(flow, block), title=title, subtitle=f"{counts} for an image of {size_of(counted.shape)}")


def _all(part: Part) -> Iterator[Part]:
    """Yields the part and all parts inside it."""
    yield part
    for inside in part.parts:
        yield from _all(inside)
