"""The pages below docs/architectures: of each family one network layer by layer and drawn, and a block of it opened."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from convatlas.architectures import architecture
from convatlas.complexity import (
    BYTES,
    GATHERS,
    Complexity,
    meta_network,
    network_complexity,
    operation_of,
    side_of,
    size_of,
)
from convatlas.insight.diagram import drawing, follow, svg

SHOWN = {  # each family's network, and the blocks that are opened
    "lenet": ("lenet5_original", ("stage2",)),
    "alexnet": ("alexnet_original", ()),
    "vgg": ("vgg16", ()),
    "nin": ("nin_cifar", ()),
    "googlenet": ("googlenet", ("inception3a",)),
    "inception": ("inception_v3", ("stage2.0", "stage3.0")),
    "inception_resnet": ("inception_resnet_v2", ("stage1.0",)),
    "resnet": ("resnet50", ("stage2.0", "stage2.1")),
    "preact_resnet": ("preact_resnet164", ("stage2.0", "stage2.1")),
    "wide_resnet": ("wide_resnet28_10", ("stage2.0",)),
    "resnext": ("resnext50_32x4d", ("stage2.1",)),
    "senet": ("seresnet50", ("stage2.1",)),
    "densenet": ("densenet121", ("block1.0",)),
    "mobilenet": ("mobilenet_v2", ("stage2.1",)),
    "efficientnet": ("efficientnet_b0", ("stage2.1",)),
    "dpn": ("dpn68", ("stage2.0", "stage2.1")),
    "bit": ("bit_resnet50x1", ("stage2.0",)),
}


def files(family: str, head: str) -> Iterator[tuple[str, str]]:
    """Names and contents of a family's page, which begins with `head`, and of its drawings."""
    name, blocks = SHOWN[family]
    row = architecture(name)
    network = meta_network(row)
    counted = network_complexity(row, network, in_channels=row.in_channels, image_size=row.image_size)
    flow = follow(network, torch.empty(1, *counted.shape, device="meta"), name=name)
    yield f"{name}.svg", svg(drawing(flow, counted, name=name))
    commands = ["```sh", f"convatlas show {name}", f"convatlas show {name} --diagram {name}.svg", "```", ""]
    lines = [head, f"## {name}, layer by layer", "", *table(counted), "", f"![{name}]({name}.svg)", "", *commands]
    for block in blocks:
        file = f"{name}-{block}.svg"
        yield file, svg(drawing(flow, counted, name=name, block=block))
        command = f"convatlas show {name} --diagram {file} --block {block}"
        lines += [f"## Its {block}, opened", "", f"![{block} of {name}]({file})", "", "```sh", command, "```", ""]
    yield f"{family}.md", "\n".join(lines)


def table(counted: Complexity) -> Iterator[str]:
    """The layers as Markdown."""
    yield "| layer | operation | output | weights | parameters | MACs | activations | receptive field | stride |"
    yield "|:--|:--|--:|--:|--:|--:|--:|--:|--:|"
    yield f"| input | | {size_of(counted.shape)} | | | | {math.prod(counted.shape):,} | 1 | 1 |"
    for part in counted.network.rows(counted.readable_depth):
        counts = [f"{n:,}" if n else "" for n in (part.weights, part.params, part.macs, part.activations)]
        seen = [side_of(pixels) for pixels in (part.receptive_field, part.stride)]
        yield f"| {' | '.join((part.name, operation_of(part), size_of(part.shape), *counts, *seen))} |"
    totals = [f"{n:,}" for n in (counted.weights, counted.params, counted.macs, counted.activations)]
    yield f"| total | | | {' | '.join(totals)} | | |"
    memory = f"{BYTES * counted.activations / 1e6:,.1f} MB"
    yield ""
    gathers = f" The {GATHERS}." if counted.gathers else ""
    values = f"activations are values an image, {memory} of float32 in all"
    yield f"Weights are parameters without biases; {values}.{gathers}"
