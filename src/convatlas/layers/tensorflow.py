"""Layers and initial weights as networks have them that were written in TensorFlow."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn


class SamePadding(nn.Module):
    """Zeros around an image, so that a convolution gives ceil(size / stride), like TensorFlow's SAME padding.

    (N, C, H, W) -> (N, C, H', W'). Of an odd number of zeros, one more is below and on the right. At an even size and
    stride 2 the result differs from equal padding on all sides: the windows lie one pixel further right and down.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        rows, columns = (self._zeros(size) for size in features.shape[-2:])
        return F.pad(features, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))

    def _zeros(self, size: int) -> int:
        return max(0, (math.ceil(size / self.stride) - 1) * self.stride + self.kernel - size)

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


def initialize_uniform_classifier(network: nn.Module) -> None:
    """Initialises as the authors: the linear layer uniform within 1 / sqrt(classes), and all biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.out_features)
            nn.init.uniform_(module.weight, -bound, bound)
        if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)


def initialize_tensorflow(network: nn.Module) -> None:
    """Initialises convolutions as the authors: normal with variance 2 / (kernel^2 * out_channels).

    For a depthwise convolution, out_channels counts as 1. PyTorch's fan-out counts all its channels, and the weights
    are then smaller.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
