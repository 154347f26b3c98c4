"""Processes that train one network together: each computes a part of a batch, and the gradients are added up.

Each batch is drawn alike in all processes. Each process sends its part through the network, and the gradients are added
up, weighted by the images, before they are clipped and the optimizers step. So the gradients are those of one process
with the whole batch, to rounding. Batch norms see the part of their own process, as they do with `accumulate`; their
running statistics are averaged over the processes after each epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Group:
    """The place of this process among those that train together: `rank` of `size`."""

    rank: int = 0
    size: int = 1

    def part(self, tensor: Tensor) -> Tensor:
        """Returns the rows (n, ...) of a batch (N, ...) that this process computes."""
        return tensor.tensor_split(self.size)[self.rank] if self.size > 1 else tensor

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replaces the gradients by their sums over all processes, in one exchange."""
        if self.size == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in trained:
            if parameter.grad is None:  # no path led to it here, but one may in another process
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        for gradient, summed in zip(gradients, torch.split(together, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def average_statistics(self, modules: Iterable[nn.Module]) -> None:
        """Replaces floating-point buffers, such as the running statistics of norms, by their means."""
        if self.size == 1:
            return
        for module in modules:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer.div_(self.size)

    def total(self, value: Tensor) -> Tensor:
        """Returns the sum of a value over all processes."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value

    def total_count(self, count: int) -> int:
        """Returns the sum of a number over all processes."""
        return count if self.size == 1 else int(self.total(torch.tensor(count)))


ALONE = Group()


def process_group() -> Group:
    """Returns the group that `torch.distributed` was started with; one process alone where it was not."""
    if not (dist.is_available() and dist.is_initialized()):
        return ALONE
    return Group(dist.get_rank(), dist.get_world_size())
