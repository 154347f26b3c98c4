"""The parts of GoogLeNets at every scale: inception modules, the layers before them, auxiliary classifiers.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich. Going Deeper with Convolutions. CVPR 2015.
https://arxiv.org/abs/1409.4842
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import nn

from convatlas.layers import Concat, ConvNormAct, Layer, activation_layer, check_counts, check_dropout, sequential

RELU = activation_layer("relu")

# The columns of the paper's table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
Widths = tuple[int, int, int, int, int, int]
Table = Mapping[str, Widths | None]  # the rows by name; None stands for a pooling


def out_channels(widths: Widths) -> int:
    """Returns the channels of an inception module's output.

    >>> out_channels((64, 96, 128, 16, 32, 32))
    256
    """
    conv1x1, _, conv3x3, _, conv5x5, pool_projection = widths
    return conv1x1 + conv3x3 + conv5x5 + pool_projection


def inception(in_channels: int, widths: Widths, *, conv: Layer, conv5x5: Layer | None = None) -> Concat:
    """Builds an inception module with dimension reductions, figure 2 (b): (N, in_channels, H, W) -> (N, sum, H, W).

    `conv(in_channels, out_channels, kernel)` makes a convolution with its norm and activation.
    `conv5x5(in_channels, out_channels)` makes the replacement of the 5x5 convolution, where there is one.
    """
    width1x1, reduce3x3, width3x3, reduce5x5, width5x5, pool_projection = widths
    large = conv(reduce5x5, width5x5, 5) if conv5x5 is None else conv5x5(reduce5x5, width5x5)
    return Concat(
        branch1x1=conv(in_channels, width1x1, 1),
        branch3x3=sequential(reduce=conv(in_channels, reduce3x3, 1), conv=conv(reduce3x3, width3x3, 3)),
        branch5x5=sequential(reduce=conv(in_channels, reduce5x5, 1), conv=large),
        branch_pool=sequential(
            pool=nn.MaxPool2d(3, stride=1, padding=1), projection=conv(in_channels, pool_projection, 1)
        ),
    )


def naive_inception(in_channels: int, widths: tuple[int, int, int]) -> Concat:
    """Builds the naive inception module, figure 2 (a): 1x1, 3x3 and 5x5 convolutions of `widths` channels, and pooling.

    (N, in_channels, H, W) -> (N, sum of the widths + in_channels, H, W). Pooling keeps all channels, so that the output
    grows from module to module; the paper reduces the channels for this reason. The convolutions have biases and ReLUs.
    Raises `UsageError` for counts below 1.

    >>> import torch
    >>> naive_inception(192, (64, 128, 32))(torch.zeros(1, 192, 28, 28)).shape
    torch.Size([1, 416, 28, 28])
    """
    check_counts(in_channels=in_channels, widths=widths)
    conv = partial(ConvNormAct, in_channels, bias=True, norm=None, act=RELU)
    return Concat(
        branch1x1=conv(widths[0], 1),
        branch3x3=conv(widths[1], 3),
        branch5x5=conv(widths[2], 5),
        branch_pool=nn.MaxPool2d(3, stride=1, padding=1),
    )


def plain_stem(in_channels: int, *, conv: Layer, pool: Callable[[], nn.Module]) -> nn.Sequential:
    """Builds the layers before the inception modules, without response norm: (N, C, H, W) -> (N, 192, H / 8, W / 8)."""
    return sequential(
        conv1=conv(in_channels, 64, 7, stride=2),
        pool1=pool(),
        reduce=conv(64, 64, 1),
        conv2=conv(64, 192, 3),
        pool2=pool(),
    )


def inception_stages(
    in_channels: int,
    table: Table,
    *,
    block: Callable[[int, Widths], nn.Module],
    pools: Mapping[str, nn.Module],
) -> tuple[dict[str, nn.Module], int]:
    """Builds the rows of a table by name, with the poolings from `pools`; returns also the last row's channels."""
    stages: dict[str, nn.Module] = {}
    channels = in_channels
    for name, widths in table.items():
        stages[name] = pools[name] if widths is None else block(channels, widths)
        channels = channels if widths is None else out_channels(widths)
    return stages, channels


def auxiliary_heads(
    table: Table, num_classes: int, *, pool: Callable[[], nn.Module], conv: Layer, dropout: float
) -> dict[str, nn.Module]:
    """Builds the two extra classifiers of section 5, under the names of the modules before them, (4a) and (4d).

    Each head is (N, C, 14, 14) -> (N, num_classes): `pool` to 4x4, a 1x1 convolution of 128 channels, a hidden layer of
    1024 units, dropout and the classifier.
    """
    check_dropout(dropout)
    heads: dict[str, nn.Module] = {}
    for name in ("inception4a", "inception4d"):
        widths = table[name]
        assert widths is not None
        heads[name] = sequential(
            pool=pool(),
            conv=conv(out_channels(widths), 128, 1),
            flatten=nn.Flatten(),
            fc1=nn.Linear(4 * 4 * 128, 1024),
            act1=RELU(),
            dropout=nn.Dropout(dropout),
            fc=nn.Linear(1024, num_classes),
        )
    return heads
