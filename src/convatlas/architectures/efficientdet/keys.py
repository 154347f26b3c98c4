"""The key table for EfficientDets in the layout of https://github.com/rwightman/efficientdet-pytorch (`effdet`)."""

from __future__ import annotations

from collections.abc import Iterator

from convatlas.architectures.efficientdet.pyramid import FIRST_LEVEL, FusionKind
from convatlas.architectures.efficientnet.keys import TIMM_KEYS

BACKBONE_LEVELS = (3, 4, 5)
LEFT_OUT = ("conv_head", "bn2", "classifier")  # what follows the backbone's last stage


def effdet_keys(*, fusion: FusionKind = "fast", last_level: int = 7) -> dict[str, str | None]:
    """Returns the table for a pyramid on an EfficientNet; the nodes of a cell and the levels have running numbers."""
    kept = {theirs: ours for theirs, ours in TIMM_KEYS.items() if theirs not in LEFT_OUT}
    return {
        **{f"backbone.{theirs}": f"backbone.{ours}" for theirs, ours in kept.items()},
        **dict(_pyramid(fusion=fusion, last_level=last_level)),
        **dict(_head("class_net", "head.classes", last_level=last_level)),
        **dict(_head("box_net", "head.boxes", last_level=last_level)),
    }


def _pyramid(*, fusion: FusionKind, last_level: int) -> Iterator[tuple[str, str]]:
    yield from _lateral("fpn.resample.3", "coarser")
    down = [f"topdown{level}" for level in range(last_level - 1, FIRST_LEVEL - 1, -1)]
    up = [f"bottomup{level}" for level in range(FIRST_LEVEL + 1, last_level + 1)]
    for number, name in enumerate((*down, *up)):
        node, ours = f"fpn.cell.{{}}.fnode.{number}", f"cell{{+1}}.{name}"
        yield f"{node}.after_combine.conv.conv_dw", f"{ours}.conv.depthwise"
        yield f"{node}.after_combine.conv.conv_pw", f"{ours}.conv.pointwise"
        yield f"{node}.after_combine.conv.bn", f"{ours}.conv.norm"
        if fusion != "sum":
            yield f"{node}.combine.edge_weights", f"{ours}.fusion.weight"
        level = int(name[-1])
        if level in BACKBONE_LEVELS:  # the first cell is given the backbone's channels
            yield from _lateral(f"fpn.cell.0.fnode.{number}.combine.resample.{level - FIRST_LEVEL}", f"cell1.{name}")


def _lateral(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    yield f"{theirs}.conv.conv", f"{ours}.lateral.conv"
    yield f"{theirs}.conv.bn", f"{ours}.lateral.norm"


def _head(theirs: str, ours: str, *, last_level: int) -> Iterator[tuple[str, str]]:
    for place, number in (("conv_rep.{}", "conv{+1}"), ("predict", "predict")):
        yield f"{theirs}.{place}.conv_dw", f"{ours}.{number}.depthwise"
        yield f"{theirs}.{place}.conv_pw", f"{ours}.{number}.pointwise"
    for index in range(last_level - FIRST_LEVEL + 1):
        yield f"{theirs}.bn_rep.{{}}.{index}.bn", f"{ours}.norm{{+1}}.level{FIRST_LEVEL + index}"
