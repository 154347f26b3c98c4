"""A fault of a processor's kernel, and a way around it.

oneDNN's kernel for processors with AVX2 and without AVX-512 writes beyond its memory in the backward pass of a 1 x 1
convolution with a stride and few channels, where the channels come last in memory: the process dies.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

NARROW = 8  # channels, the values that the kernel works on at a time; with as many it is right


def around_fault(network: nn.Module) -> nn.Module:
    """Returns the network itself; on a processor its narrow 1 x 1 convolutions with a stride leave pixels out first.

    The answers and the gradients are the same. Other layers stay as they are.
    """
    if any(parameter.device.type != "cpu" for parameter in network.parameters()):
        return network
    for module in network.modules():
        if not isinstance(module, nn.Conv2d) or module.kernel_size != (1, 1) or module.stride == (1, 1):
            continue
        if module.in_channels // module.groups < NARROW and module.padding in ((0, 0), "valid"):
            down, right = module.stride
            module.stride = (1, 1)
            module.register_forward_pre_hook(partial(_thinned, down=down, right=right))
    return network


def _thinned(_module: nn.Module, inputs: tuple[Any, ...], *, down: int, right: int) -> Any:
    images, *rest = inputs
    return images[..., ::down, ::right], *rest
