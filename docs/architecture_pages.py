"""The pages below docs/architectures: one network of each family as a table of layers and as drawings."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from convatlas.architecture import Family
from convatlas.architectures import architecture
from convatlas.complexity import (
    BYTES,
    GATHERS,
    Complexity,
    meta_network,
    network_complexity,
    operation_of,
    output_of,
    side_of,
    size_of,
)
from convatlas.insight.diagram import drawing, follow, svg


def files(family: Family, head: str) -> Iterator[tuple[str, str]]:
    """Yields names and contents of a family's page, which begins with `head`, and of its drawings."""
    name = family.shown
    row = architecture(name)
    network = meta_network(row)
    counted = network_complexity(row, network, in_channels=row.in_channels, image_size=row.image_size)
    flow = follow(network, torch.empty(1, *counted.shape, device="meta"), name=name)
    yield f"{name}.svg", svg(drawing(flow, counted, name=name))
    commands = ["```sh", f"convatlas show {name}", f"convatlas show {name} --diagram {name}.svg", "```", ""]
    lines = [head, f"## {name}, layer by layer", "", *table(counted), "", f"![{name}]({name}.svg)", "", *commands]
    for block in family.opened:
        file = f"{name}-{block}.svg"
        yield file, svg(drawing(flow, counted, name=name, block=block))
        command = f"convatlas show {name} --diagram {file} --block {block}"
        lines += [f"## Its {block}, opened", "", f"![{block} of {name}]({file})", "", "```sh", command, "```", ""]
    yield f"{family.name}.md", "\n".join(lines)


def table(counted: Complexity) -> Iterator[str]:
    """Yields the lines of the layers' table in Markdown."""
    yield "| layer | operation | output | weights | parameters | MACs | activations | receptive field | stride |"
    yield "|:--|:--|--:|--:|--:|--:|--:|--:|--:|"
    yield f"| input | | {size_of(counted.shape)} | | | | {math.prod(counted.shape):,} | 1 | 1 |"
    for part in counted.network.rows(counted.readable_depth):
        counts = [f"{n:,}" if n else "" for n in (part.weights, part.params, part.macs, part.activations)]
        seen = [side_of(pixels) for pixels in (part.receptive_field, part.stride)]
        yield f"| {' | '.join((part.name, operation_of(part), output_of(part), *counts, *seen))} |"
    totals = [f"{n:,}" for n in (counted.weights, counted.params, counted.macs, counted.activations)]
    yield f"| total | | | {' | '.join(totals)} | | |"
    memory = f"{BYTES * counted.activations / 1e6:,.1f} MB"
    yield ""
    gathers = f" The {GATHERS}." if counted.gathers else ""
    values = f"activations are values an image, {memory} of float32 in all"
    yield f"Weights are parameters without biases; {values}.{gathers}"
