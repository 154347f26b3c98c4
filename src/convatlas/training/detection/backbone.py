"""The weights of a classifier as the start of a detector's backbone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from convatlas.architecture import Architecture
from convatlas.errors import UsageError
from convatlas.prediction import Predictor, open_predictor
from convatlas.run import Start
from convatlas.training.freezing import check_fresh
from convatlas.weights import file_sha256, identify, is_file_of, load_strictly, open_checkpoint

if TYPE_CHECKING:
    from convatlas.training.plan import Plan

BACKBONE = "backbone"  # the part of a detector, and its option


def backbone_name(row: Architecture, options: Mapping[str, Any]) -> str:
    """Returns the name of the network that a detector stands on."""
    return str(options.get(BACKBONE) or row.options()[BACKBONE])


def open_backbone(row: Architecture, weights: str, options: Mapping[str, Any]) -> Predictor:
    """Opens the weights of a detector's backbone: published ones by name, the file of a checkpoint, or a run."""
    name = backbone_name(row, options)
    place = Path(weights)
    base = open_predictor(place) if place.exists() else _published(row, name, weights)
    if base.architecture.name != name:
        raise UsageError(
            f"{base.source} is of {base.architecture.name}, and the backbone of {row.name} is {name}; name it with "
            f"-o backbone={base.architecture.name}"
        )
    return base


def _published(row: Architecture, name: str, weights: str) -> Predictor:
    """Opens published weights of a backbone. Raises `UsageError`, with the way on, where none have this name."""
    try:
        return open_predictor(name, weights=weights)
    except UsageError as error:
        advice = f"{name} is the backbone of {row.name}: give a file of its weights, or -o backbone=efficientnet_lite0"
        raise UsageError(f"{error}; {advice}") from error


def with_backbone(plan: Plan, base: Predictor) -> Plan:
    """Returns the plan of a detector with the weights of a classifier as the start of its backbone."""
    network = plan.architecture.build(**plan.counts, **plan.network_options)
    fresh = tuple(name for name, _ in network.named_children() if name != BACKBONE)
    check_fresh(network, plan.recipe, fresh=fresh, name=plan.label)
    start = Start.from_weights(str(base.path.resolve()), sha256=file_sha256(base.path), kept=(BACKBONE,), fresh=fresh)
    start = dataclasses.replace(start, part=BACKBONE)
    if base.weights is not None and is_file_of(base.path, base.weights):
        start = dataclasses.replace(start, published=base.weights.name, url=base.weights.url)
    started = dataclasses.replace(plan, start=start, notes=(*plan.notes, *base.notes))
    load_backbone(network, started)
    return started


def detector_on_backbone(plan: Plan) -> nn.Module:
    """Returns the network of a plan that starts from a backbone's weights; the rest is drawn from the seed."""
    torch.manual_seed(plan.seed)
    network = plan.architecture.build(**plan.counts, **plan.network_options)
    load_backbone(network, plan)
    return network


def load_backbone(network: nn.Module, plan: Plan) -> None:
    """Puts the weights of a plan's start into the backbone of its network. Raises `UsageError` where they differ."""
    path = Path(plan.start.source or "")
    if (sha256 := file_sha256(path)) != plan.start.sha256:
        raise UsageError(
            f"{path} is not the checkpoint that the training starts from: its sha256 is {sha256}, not "
            f"{plan.start.sha256}; bring that file back"
        )
    name = backbone_name(plan.architecture, plan.network_options)
    state = identify(open_checkpoint(path), arch=name).state
    backbone = network.get_submodule(BACKBONE)
    load_strictly(backbone, {key: state[key] for key in backbone.state_dict() if key in state})
