"""The contract that every architecture keeps, as one function, for registered networks and for your own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from convatlas.architecture import Architecture
from convatlas.complexity import Complexity, complexity
from convatlas.device import around_fault
from convatlas.errors import UsageError
from convatlas.layers import AuxiliaryLogits, DetectorOutput, logits_of, mean_square, total_loss

BOX = 4  # offsets of a box


class ContractError(AssertionError):
    """The error of an architecture that breaks the contract; the message says which clause it breaks."""


def check_architecture(row: Architecture) -> None:
    """Raises `ContractError` unless the architecture keeps the contract.

    The declared parameters and MACs are exact. Images (N, C, H, W) give finite logits (N, num_classes); a detector
    gives logits and offsets for the same anchors of each level. Every parameter gets a finite gradient. In eval mode
    the output for an image does not depend on its batch. The same seed gives the same weights. A state dict can be
    loaded back.

    >>> from convatlas.architectures import architecture
    >>> check_architecture(architecture("resnet_uva"))
    """
    check_counts(row)
    network = _seeded(row, seed=0)
    images = torch.randn(3, row.in_channels, row.image_size, row.image_size, generator=torch.Generator().manual_seed(0))
    _check_gradients(row, network, images)
    _check_batch_independence(row, network, images)
    _check_weights(row, network)


def check_own(row: Architecture, *, num_classes: int, in_channels: int, image_size: int, **options: Any) -> None:
    """Raises `UsageError` unless a user's own network gives two images finite logits, which lead to gradients.

    Networks of the families are not computed here: tests have checked them.
    """
    if row.reference is None:
        return
    shape = (in_channels, image_size, image_size)
    images = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)  # as in training
    with row.guard("fails with two images"), torch.random.fork_rng(devices=[]):
        network = row.build(num_classes=num_classes, in_channels=in_channels, **options)
        network = network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        output = around_fault(network)(images)
        fault = _fault(output, network, (len(images), num_classes))
    if fault is not None:
        wanted = f"logits of shape (2, {num_classes}) are needed for two images of {' x '.join(map(str, shape))}"
        raise UsageError(f"{row.reference} {fault}; {wanted}")


def _fault(output: object, network: nn.Module, shape: tuple[int, int]) -> str | None:
    """Returns the fault of an output in training, with the verb first, or None."""
    if not isinstance(output, Tensor | AuxiliaryLogits):
        return f"gives a {type(output).__name__}, not a tensor"
    logits = logits_of(output)
    if not isinstance(logits, Tensor) or not logits.is_floating_point() or tuple(logits.shape) != shape:
        return f"gives a tensor of shape {tuple(logits.shape)} and type {str(logits.dtype).removeprefix('torch.')}"
    if not any(parameter.requires_grad for parameter in network.parameters()):
        return "has no parameter that can be trained"
    if not bool(logits.isfinite().all()):
        return "gives logits that are not finite"
    if logits.requires_grad:
        labels = torch.zeros(len(logits), dtype=torch.int64)
        total_loss(output, lambda each: F.cross_entropy(each, labels)).backward()  # type: ignore[no-untyped-call]
    if all(parameter.grad is None for parameter in network.parameters()):
        return "gives logits from which no gradient reaches a parameter"
    return None


def check_counts(row: Architecture) -> Complexity:
    """Returns the counts, made on the meta device.

    Raises `ContractError` unless parameters, MACs and the output's shape are as declared.
    """
    counted = complexity(row)
    check_declared(row, counted)
    return counted


def check_declared(row: Architecture, counted: Complexity) -> None:
    """Raises `ContractError` unless parameters, MACs and the output's shape are as the row declares them."""
    for name in ("params", "macs"):
        declared, actual = getattr(row, name), getattr(counted, name)
        _require(declared is None or declared == actual, row, f"declares {declared} {name} and has {actual}")
    if counted.stages:
        end = counted.stages[-1]
        fault = _level_fault(row, end.shapes) if row.task == "detection" else _shape_fault(row, end.shape)
        _require(fault is None, row, fault or "")


def _shape_fault(row: Architecture, shape: tuple[int, ...]) -> str | None:
    """Returns the fault of a classifier's output, with the verb first, or None."""
    return None if shape == (row.num_classes,) else f"ends in an output of shape {shape}, not ({row.num_classes},)"


def _level_fault(row: Architecture, shapes: tuple[tuple[int, ...], ...]) -> str | None:
    """Returns the fault of a detector's levels, with the verb first, or None: classes first, then boxes."""
    logits, offsets = shapes[: len(shapes) // 2], shapes[len(shapes) // 2 :]
    if not shapes or len(logits) != len(offsets):
        return f"ends in {len(shapes)} outputs, not in class logits and box offsets for each level"
    for classes, boxes in zip(logits, offsets, strict=True):
        anchors = boxes[0] // BOX
        if boxes != (BOX * anchors, *classes[1:]) or classes[0] != anchors * row.num_classes:
            return f"gives a level logits of shape {classes} and offsets of shape {boxes} for {row.num_classes} classes"
    return None


def _seeded(row: Architecture, *, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return row.build()


def _check_gradients(row: Architecture, network: nn.Module, images: Tensor) -> None:
    _loss(row, network.train()(images), images=len(images)).backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        _require(parameter.grad is not None, row, f"gives {name} no gradient")
        finite = parameter.grad is not None and bool(parameter.grad.isfinite().all())
        _require(finite, row, f"gives {name} a gradient that is not finite")


def _loss(row: Architecture, output: Any, *, images: int) -> Tensor:
    """Returns the loss of an output in training. Raises `ContractError` for an output that is not the task's."""
    if row.task == "detection":
        _require(isinstance(output, DetectorOutput), row, f"gives a {type(output).__name__}, not a DetectorOutput")
        return mean_square(output)
    logits = logits_of(output)
    shape = tuple(logits.shape)
    _require(shape == (images, row.num_classes), row, f"gives logits of shape {shape}")
    labels = torch.arange(images) % row.num_classes
    return total_loss(output, lambda each: F.cross_entropy(each, labels))


def _check_batch_independence(row: Architecture, network: nn.Module, images: Tensor) -> None:
    network = network.double().eval()
    with torch.no_grad():
        together = tree_leaves(network(images.double()))
        single = [tree_leaves(network(image.double())) for image in images.split(1)]  # type: ignore[no-untyped-call]
    alone = [torch.cat(each) for each in zip(*single, strict=True)]
    _require(all(bool(each.isfinite().all()) for each in together), row, "gives logits that are not finite")
    close = all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(together, alone, strict=True))
    _require(close, row, "gives an image other logits in another batch")


def _check_weights(row: Architecture, network: nn.Module) -> None:
    first, second, other = (_seeded(row, seed=seed).state_dict() for seed in (0, 0, 1))
    _require(
        all(torch.equal(first[key], second[key]) for key in first), row, "differs between two builds with one seed"
    )
    _require(any(not torch.equal(first[key], other[key]) for key in first), row, "is the same for every seed")
    network.load_state_dict(first, strict=True)


def _require(holds: bool, row: Architecture, problem: str) -> None:
    if not holds:
        raise ContractError(f"{row.name} {problem}")
