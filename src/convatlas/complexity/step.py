"""The cost of a training step: its memory and its multiply-adds, counted on the meta device without arithmetic."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from convatlas.complexity.counting import UNFIT
from convatlas.complexity.products import Products
from convatlas.device.meta import Watcher, carried_out
from convatlas.errors import UsageError
from convatlas.layers import DetectorOutput, mean_square, total_loss


@dataclass(frozen=True)
class StepCost:
    """The bytes at the highest moment of a step, and the FLOPs of its forward and backward pass for one image.

    FLOPs are those of convolutions and matrix products, twice their MACs; auxiliary heads work too. The first layer has
    no gradient of its input, so that it is less than three times the forward pass.
    """

    memory: int
    flops: int


def step_cost(network: nn.Module, *, in_channels: int, image_size: int, batch_size: int, name: str) -> StepCost:
    """Counts a step in float32 by SGD with momentum; its memory holds parameters and images too.

    `network` is on the meta device; `name` stands in the error. What the kernels need for themselves, and what an
    allocator keeps for later, comes on top of the memory. Raises `UsageError` for images that do not fit.

    >>> with torch.device("meta"):
    ...     network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    >>> step_cost(network, in_channels=1, image_size=2, batch_size=1, name="mine")  # 3 x 32, 16 and what is small
    StepCost(memory=136, flops=32)
    """
    network.train()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trained:
        raise UsageError(f"{name} cannot be trained: it has no parameters")
    live, products = _Live(), Products()
    try:
        with torch.device("meta"), live, products:
            live.see(tuple(network.state_dict(keep_vars=True).values()))
            momentum = [torch.zeros_like(parameter) for parameter in trained]  # the optimizer adds to it in place
            backward(network, images=torch.empty(batch_size, in_channels, image_size, image_size))
            del momentum
    except UNFIT as error:
        reason = str(error).splitlines()[0]
        images = f"{batch_size} images of {image_size} pixels"
        raise UsageError(f"{name} cannot be trained on {images}: {reason}") from error
    finally:
        network.zero_grad()
    return StepCost(live.peak, 2 * products.macs // batch_size)


def step(network: nn.Module, optimizer: torch.optim.Optimizer, *, images: Tensor) -> None:
    """Takes a training step on images (N, C, H, W), of the first class each."""
    optimizer.zero_grad()
    backward(network, images=images)
    optimizer.step()


def backward(network: nn.Module, *, images: Tensor) -> None:
    """Computes the gradients of a training step, with labels; its answers are gone before the backward pass."""
    labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    _loss(network(images), labels).backward()  # type: ignore[no-untyped-call]


def _loss(output: Any, labels: Tensor) -> Tensor:
    """Returns the loss of a network's answers; that of a detector is a plain one, which needs no labels."""
    if isinstance(output, DetectorOutput):
        return mean_square(output)
    return total_loss(output, lambda logits: F.cross_entropy(logits, labels))


class _Live(Watcher):
    """Bytes of all tensors that are alive, and the most that there were at a time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._seen: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = carried_out(func, args, kwargs or {})
        self.see(result)
        return result

    def see(self, values: Any) -> None:
        """Counts what of the values lies in memory that was not seen before."""
        for tensor in tree_leaves(values):
            if isinstance(tensor, Tensor) and (key := tensor.untyped_storage()._cdata) not in self._seen:
                storage = tensor.untyped_storage()
                self._seen[key] = weakref.finalize(storage, self._gone, key, storage.nbytes())
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)

    def _gone(self, key: int, size: int) -> None:
        del self._seen[key]
        self.now -= size
