"""The start of a training from the weights of a checkpoint, some parts of the network drawn from the seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from convatlas.complexity import meta_network
from convatlas.errors import UsageError, unknown
from convatlas.run import Start
from convatlas.training.detection.backbone import detector_on_backbone
from convatlas.training.freezing import head_of
from convatlas.weights import Identified, file_sha256, identify, open_checkpoint
from convatlas.words import is_part, label

if TYPE_CHECKING:
    from convatlas.training.plan import Plan


def starting_from(plan: Plan, path: Path, *, fresh: Sequence[str] = ()) -> Plan:
    """Returns the plan with the weights of a checkpoint file as its start.

    The parts named `fresh` are drawn from the seed all the same, and so are the tensors whose shape the class count
    decides. Raises `UsageError` where the checkpoint is of another network, of other options or of other channels, and
    for a part that the network does not have.
    """
    identified = _identified(plan, path)
    options = plan.network_options
    network = meta_network(plan.architecture, **plan.counts, **options)
    outline = network.state_dict()
    for name in fresh:
        if not any(is_part(name, key) for key in outline):
            raise unknown(f"part of {plan.architecture.name}", name, [child for child, _ in network.named_children()])
    taken = identified.kept(outline, fresh=fresh)
    if not taken:
        raise UsageError(f"nothing of {path} would be kept; leave a part out of {', '.join(fresh)}, or train anew")
    kept, drawn = parts(taken, (key for key in outline if key not in taken))
    start = Start.from_weights(str(path.resolve()), sha256=file_sha256(path), kept=kept, fresh=drawn)
    return dataclasses.replace(plan, start=start)


def started_network(plan: Plan) -> nn.Module:
    """Returns the plan's network with the weights that its start names, the fresh parts drawn from the seed.

    A fresh linear layer that gives the answers begins at zero. Raises `UsageError` where the checkpoint is not there,
    or is not the one that the plan was made with.
    """
    if plan.start.part:
        return detector_on_backbone(plan).train()
    path = Path(plan.start.source or "")
    identified = _identified(plan, path)
    if (sha256 := file_sha256(path)) != plan.start.sha256:
        raise UsageError(
            f"{path} is not the checkpoint that the training starts from: its sha256 is {sha256}, not "
            f"{plan.start.sha256}; bring that file back"
        )
    torch.manual_seed(plan.seed)
    network = identified.build_for(plan.num_classes, fresh=plan.start.fresh).train()
    _zero_heads(network, plan)
    return _in_order(network, plan) if plan.start.order else network


def _zero_heads(network: nn.Module, plan: Plan) -> None:
    """Puts zeros into the fresh linear layers that give the answers, as BiT's finetuning does (Kolesnikov et al. 2019).

    Random weights hide for hundreds of steps what the body knows, and those of the seed may be the ones that the body
    was trained with. Where other layers depend on the class count too, as in NiN, zeros could never be left.
    """
    heads = class_tensors(plan)
    keys = {key for key, _ in network.named_parameters() if any(is_part(name, key) for name in heads)}
    fresh = {key for key in keys if any(is_part(part, key) for part in plan.start.fresh)}
    layers = {
        f"{name}.{key}": tensor
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        for key, tensor in module.named_parameters()
    }
    if fresh <= layers.keys():
        for key in fresh:
            nn.init.zeros_(layers[key])


def class_tensors(plan: Plan) -> tuple[str, ...]:
    """Returns the names of the tensors whose shape the class count decides; of a network of one count, the head."""
    row, options = plan.architecture, plan.network_options
    network = meta_network(row, **plan.counts, **options)
    if not row.takes("num_classes"):
        return (head_of(network),)
    more = meta_network(row, **{**plan.counts, "num_classes": plan.num_classes + 1}, **options).state_dict()
    return tuple(name for name, tensor in network.state_dict().items() if more[name].shape != tensor.shape)


def _in_order(network: nn.Module, plan: Plan) -> nn.Module:
    """Returns the network itself, its rows for the classes brought into the order of the data's classes."""
    order, names = list(plan.start.order), class_tensors(plan)
    for key, tensor in network.state_dict().items():
        if tensor.ndim and any(is_part(name, key) for name in names):
            tensor.copy_(tensor[order])
    return network


def parts(kept: Iterable[str], fresh: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns names of the network's parts: those that hold only kept tensors, and those that hold only fresh ones.

    A part is as large as it can be: a stage, a layer in it, or a tensor.

    >>> parts(["stem.conv.weight", "head.norm.bias"], ["head.fc.weight", "head.fc.bias"])
    (('stem', 'head.norm'), ('head.fc',))
    """
    members: dict[str, set[bool]] = {}
    names = [(key, True) for key in kept] + [(key, False) for key in fresh]
    for key, is_kept in names:
        for part in _parts_around(key):
            members.setdefault(part, set()).add(is_kept)
    found = {part: is_kept for key, is_kept in names for part in [_largest(key, members)]}
    both = (tuple(part for part, is_kept in found.items() if is_kept is wanted) for wanted in (True, False))
    return next(both), next(both)


def _identified(plan: Plan, path: Path) -> Identified:
    """Returns the checkpoint as one of the plan's network. Raises `UsageError` where it is not."""
    row, options = plan.architecture, plan.network_options
    identified = identify(open_checkpoint(path), arch=row.reference or row.name, options=options)
    if identified.options != options:
        there, here = (label(row.name, given) for given in (identified.options, options))
        raise UsageError(f"{path} is of {there}, the training of {here}; give the same options with -o NAME=VALUE")
    if identified.in_channels != plan.in_channels:
        raise UsageError(
            f"{path} takes images of {identified.in_channels} channels, the training has {plan.in_channels}; "
            f"give -o in_channels={identified.in_channels}"
        )
    return identified


def _parts_around(key: str) -> list[str]:
    """Returns the parts that hold a tensor, from the largest to the tensor itself."""
    steps = key.split(".")
    return [".".join(steps[:count]) for count in range(1, len(steps) + 1)]


def _largest(key: str, members: dict[str, set[bool]]) -> str:
    """Returns the largest part around a tensor that holds no tensor of the other kind."""
    return next(part for part in _parts_around(key) if len(members[part]) == 1)
