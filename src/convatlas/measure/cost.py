"""What a training step costs: its FLOPs and its memory, counted on the meta device, without memory or arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convatlas.complexity import UNFIT, parameter_count
from convatlas.errors import UsageError
from convatlas.layers import total_loss

IMAGES = 2  # counted together: in training, a norm may need more than one
PARAMETER_BYTES = 20  # float32: value, gradient, momentum, the copy that answers, and one in bf16 and its copy


@dataclass(frozen=True)
class TrainingCost:
    """FLOPs of forward and backward pass for one image, and bytes: those kept for backward an image, the parameters'.

    FLOPs are those of convolutions and matrix products, twice their MACs; auxiliary heads work too. The first layer has
    no gradient of its input, so that it is less than three times the forward pass.
    """

    flops: int
    kept: int
    parameters: int

    def memory(self, batch_size: int) -> int:
        """Bytes that a step of so many images needs in float32, about."""
        return self.kept * batch_size + self.parameters


def training_cost(network: nn.Module, *, in_channels: int, image_size: int, name: str) -> TrainingCost:
    """Counts forward and backward of a network on the meta device, where nothing is computed; `name` is for the error.

    >>> from convatlas.layers import ConvNormAct
    >>> with torch.device("meta"):
    ...     network = ConvNormAct(1, 2, 3)
    >>> training_cost(network, in_channels=1, image_size=4, name="mine").flops == 2 * (2 * 9 * 16 * 2)
    True
    """
    network.train()
    images = torch.empty(IMAGES, in_channels, image_size, image_size, device="meta")
    counter = FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward}
    )
    kept = _Kept(network)
    try:
        with counter, torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda tensor: tensor):
            total_loss(network(images), torch.sum).backward()  # type: ignore[no-untyped-call]
    except UNFIT as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{name} cannot be trained on images of {image_size} pixels: {reason}") from error
    finally:
        network.zero_grad()
    return TrainingCost(
        counter.get_total_flops() // IMAGES, kept.bytes // IMAGES, PARAMETER_BYTES * parameter_count(network)
    )


class _Kept:
    """The tensors that a forward pass keeps for backward, each storage once, without parameters."""

    def __init__(self, network: nn.Module) -> None:
        self.parameters = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
        self.storages: dict[int, Any] = {}  # alive while it counts, so that no storage takes another's place

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.parameters:  # on the meta device, no storage has an address of its data
            self.storages[storage._cdata] = storage
        return tensor

    @property
    def bytes(self) -> int:
        return sum(storage.nbytes() for storage in self.storages.values())


def _convolution_backward(
    grad_shape: Sequence[int], image_shape: Sequence[int], weight_shape: Sequence[int], *rest: Any, **_: Any
) -> int:
    """Each gradient that is wanted, of images and of weights, takes as many FLOPs as the convolution itself.

    torch's own formula has the weights of a convolution in g groups take g times too many (as of 2.13).
    """
    _bias, _stride, _padding, _dilation, transposed, _output_padding, _groups, wanted = rest
    places = image_shape if transposed else grad_shape
    gradients: int = sum(wanted[:2])
    return gradients * 2 * places[0] * math.prod(places[2:]) * math.prod(weight_shape)
