"""Factorised convolutions, and the gate that weighs channels: blocks that any network can use."""

from __future__ import annotations

from torch import Tensor, nn

from convatlas.layers.blocks import check_counts, sequential
from convatlas.layers.initialization import Layer, activation_layer


def spatially_separable(in_channels: int, out_channels: int, kernel: int, *, bias: bool = True) -> nn.Sequential:
    """Builds a kernel x 1 convolution, then a 1 x kernel convolution: (N, in, H, W) -> (N, out, H, W).

    A pair of channels has 2 kernel weights instead of kernel^2. `kernel` is odd, so that the padding keeps the size.
    Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, section 3.2.

    >>> sum(p.numel() for p in spatially_separable(16, 16, 7, bias=False).parameters())
    3584
    """
    check_counts(in_channels=in_channels, out_channels=out_channels, kernel=kernel)
    around = kernel // 2
    return sequential(
        column=nn.Conv2d(in_channels, out_channels, (kernel, 1), padding=(around, 0), bias=bias),
        row=nn.Conv2d(out_channels, out_channels, (1, kernel), padding=(0, around), bias=bias),
    )


def depthwise_separable(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, bias: bool = True
) -> nn.Sequential:
    """Builds one filter for each channel, then a 1x1 convolution that mixes them: (N, in, H, W) -> (N, out, H', W').

    An input channel has kernel^2 + out weights instead of kernel^2 * out. Howard et al. 2017,
    https://arxiv.org/abs/1704.04861, section 3.1, without its norms and activations.

    >>> sum(p.numel() for p in depthwise_separable(16, 32, 3, bias=False).parameters())
    656
    """
    check_counts(in_channels=in_channels, out_channels=out_channels, kernel=kernel, stride=stride)
    depthwise = nn.Conv2d(in_channels, in_channels, kernel, stride, padding=kernel // 2, groups=in_channels, bias=bias)
    return sequential(depthwise=depthwise, pointwise=pointwise(in_channels, out_channels, bias=bias))


def pointwise(in_channels: int, out_channels: int, *, bias: bool = True) -> nn.Conv2d:
    """Builds a 1x1 convolution, a linear layer at each place of the image: (N, in, H, W) -> (N, out, H, W).

    >>> pointwise(480, 16)
    Conv2d(480, 16, kernel_size=(1, 1), stride=(1, 1))
    """
    check_counts(in_channels=in_channels, out_channels=out_channels)
    return nn.Conv2d(in_channels, out_channels, 1, bias=bias)


class SqueezeExcite(nn.Module):
    """A gate that weighs each channel by the channels' means over the image: (N, channels, H, W) -> the same shape.

    It takes the mean of each channel, 1x1 convolutions to `squeezed` values and back, and a sigmoid, and multiplies.
    Hu, Shen, Sun 2017, https://arxiv.org/abs/1709.01507, section 3; there `squeezed` is a sixteenth of the channels.
    """

    def __init__(self, channels: int, squeezed: int, *, act: Layer | None = None) -> None:
        super().__init__()
        check_counts(channels=channels, squeezed=squeezed)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = (act or activation_layer("relu"))()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, features: Tensor) -> Tensor:
        weights: Tensor = self.gate(self.expand(self.act(self.reduce(self.pool(features)))))
        return features * weights
