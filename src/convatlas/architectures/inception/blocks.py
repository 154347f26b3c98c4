"""The parts of Inception networks after GoogLeNet: factorised convolutions, wide filter banks, grid reductions.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna. Rethinking the Inception Architecture for Computer Vision. CVPR 2016.
https://arxiv.org/abs/1512.00567; sections and figures are this paper's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from torch import nn

from convatlas.errors import UsageError
from convatlas.layers import Concat, ConvNormAct, Layer, activation_layer, check_counts, sequential

RELU = activation_layer("relu")
CONV = partial(ConvNormAct, norm=partial(nn.BatchNorm2d, eps=1e-3), act=RELU)  # the release's epsilon
VALID = partial(CONV, padding=0)  # no padding, like the release's poolings and strided convolutions
AVERAGE = partial(nn.AvgPool2d, 3, stride=1, padding=1)  # counts the zeros around the image as values
STRIDED = partial(nn.MaxPool2d, 3, stride=2)

First = Literal["row", "column"]  # the first part of a factorised convolution: 1 x n or n x 1
Pool = Callable[[], nn.Module]
# 1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3 (both), pool projection.
Widths = tuple[int, int, int, int, int, int]


# ------------------------------------------------------------------------------------------------- parts of a module


def factorized(
    in_channels: int, widths: tuple[int, int], n: int, *, first: First = "row", conv: Layer = CONV
) -> nn.Sequential:
    """Builds an n x n convolution as 1 x n (`row`) and n x 1 (`column`) in either order, each with norm and activation.

    (N, in_channels, H, W) -> (N, widths[1], H, W), for an odd `n`. Section 3.2, figures 3 and 6. Raises `UsageError`
    for counts below 1, an even `n`, and another `first`.

    >>> list(dict(factorized(8, (8, 16), 7, first="column").named_children()))
    ['column', 'row']
    """
    check_counts(in_channels=in_channels, widths=widths, n=n)
    if n % 2 == 0 or first not in ("row", "column") or len(widths) != 2:
        given = f"widths={widths}, n={n}, first={first!r}"
        raise UsageError(f"a factorised convolution has two widths, an odd n and first row or column, not {given}")
    kernels = {"row": (1, n), "column": (n, 1)}
    second = "column" if first == "row" else "row"
    return sequential(
        **{first: conv(in_channels, widths[0], kernels[first]), second: conv(widths[0], widths[1], kernels[second])}
    )


def expanded_filter_bank(in_channels: int, width: int, *, conv: Layer = CONV) -> Concat:
    """Builds 1x3 and 3x1 convolutions side by side: (N, in_channels, H, W) -> (N, 2 * width, H, W).

    They end a branch on the coarsest grid, where features with many channels are cheap. Section 2, principle 2, and
    figure 7. Raises `UsageError` for counts below 1.

    >>> import torch
    >>> expanded_filter_bank(16, 24)(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 48, 8, 8])
    """
    check_counts(in_channels=in_channels, width=width)
    return Concat(row=conv(in_channels, width, (1, 3)), column=conv(in_channels, width, (3, 1)))


def double_3x3(
    in_channels: int,
    widths: tuple[int, int, int],
    *,
    conv: Layer = CONV,
    stride: int = 1,
    padding: int | None = None,
) -> nn.Sequential:
    """Builds 1x1, 3x3 and 3x3 convolutions of these widths, with the field of a 5x5 convolution.

    (N, in_channels, H, W) -> (N, widths[2], H / stride, W / stride). `stride` and `padding` belong to the last
    convolution. Section 3.1, figures 1, 4 and 5. Raises `UsageError` for counts below 1.

    >>> import torch
    >>> double_3x3(16, (8, 12, 12), stride=2, padding=0)(torch.zeros(1, 16, 35, 35)).shape
    torch.Size([1, 12, 17, 17])
    """
    check_counts(in_channels=in_channels, widths=widths, stride=stride)
    reduce, middle, out_channels = widths
    return sequential(
        reduce=conv(in_channels, reduce, 1),
        conv1=conv(reduce, middle, 3),
        conv2=conv(middle, out_channels, 3, stride=stride, padding=padding),
    )


def pooled_projection(in_channels: int, width: int, *, conv: Layer = CONV, pool: Pool = AVERAGE) -> nn.Sequential:
    """Builds the pooling branch of every module: (N, in_channels, H, W) -> (N, width, H, W)."""
    return sequential(pool=pool(), projection=conv(in_channels, width, 1))


def grid_reduction(*, pool: Pool = STRIDED, **branches: nn.Module) -> Concat:
    """Builds strided convolution branches beside a strided pooling, which comes last: half the grid, more channels.

    (N, C, H, W) -> (N, sum of the branches' channels + C, H', W'). Pooling before the convolutions would make a
    bottleneck, and pooling after them would cost more. The last stride of each branch must be the pooling's stride.
    Section 5, figure 10. Raises `UsageError` without branches.

    >>> import torch
    >>> reduction = grid_reduction(branch3x3=VALID(32, 64, 3, stride=2))
    >>> reduction(torch.zeros(1, 32, 35, 35)).shape
    torch.Size([1, 96, 17, 17])
    """
    if not branches:
        raise UsageError("a grid reduction needs at least one branch of convolutions beside its pooling")
    return Concat(**branches, branch_pool=pool())


# ------------------------------------------------------------------------------------------------------ whole modules


def inception_double3x3(
    in_channels: int, widths: Widths, *, conv: Layer = CONV, pool: Pool = AVERAGE, kernel: int = 3
) -> Concat:
    """Builds the module of the fine grid, figure 5, with two 3x3 convolutions where GoogLeNet has a 5x5.

    (N, in_channels, H, W) -> (N, sum, H, W). `kernel` is the kernel of the other branch, 5 in the released
    Inception-v3. Raises `UsageError` for counts below 1.

    >>> import torch
    >>> inception_double3x3(192, (64, 48, 64, 64, 96, 32))(torch.zeros(1, 192, 9, 9)).shape
    torch.Size([1, 256, 9, 9])
    """
    check_counts(in_channels=in_channels, widths=widths)
    width1x1, reduce, width, reduce_double, double, projection = widths
    single = sequential(reduce=conv(in_channels, reduce, 1), conv=conv(reduce, width, kernel))
    return Concat(
        branch1x1=conv(in_channels, width1x1, 1),
        **{f"branch{kernel}x{kernel}": single},
        branch_double=double_3x3(in_channels, (reduce_double, double, double), conv=conv),
        branch_pool=pooled_projection(in_channels, projection, conv=conv, pool=pool),
    )


def inception_factorized(
    in_channels: int,
    reduce: int,
    width: int,
    *,
    n: int = 7,
    double_first: First = "row",
    conv: Layer = CONV,
) -> Concat:
    """Builds the module of the middle grid, figure 6: branches of one and of two n x n convolutions as 1 x n and n x 1.

    (N, in_channels, H, W) -> (N, 4 * width, H, W); inside there are `reduce` channels. `double_first` is the order in
    the branch of two convolutions; in the released Inception-v3 this branch begins with a column. Raises `UsageError`
    as `factorized` does.

    >>> import torch
    >>> inception_factorized(64, 16, 24)(torch.zeros(1, 64, 17, 17)).shape
    torch.Size([1, 96, 17, 17])
    """
    check_counts(in_channels=in_channels, reduce=reduce, width=width)
    again = partial(factorized, n=n, first=double_first, conv=conv)
    return Concat(
        branch1x1=conv(in_channels, width, 1),
        **{
            f"branch{n}x{n}": sequential(
                reduce=conv(in_channels, reduce, 1), conv=factorized(reduce, (reduce, width), n, conv=conv)
            )
        },
        branch_double=sequential(
            reduce=conv(in_channels, reduce, 1),
            conv1=again(reduce, (reduce, reduce)),
            conv2=again(reduce, (reduce, width)),
        ),
        branch_pool=pooled_projection(in_channels, width, conv=conv),
    )


def inception_expanded(in_channels: int, widths: Widths, *, conv: Layer = CONV, pool: Pool = AVERAGE) -> Concat:
    """Builds the module of the coarsest grid, figure 7: both convolution branches end in an expanded filter bank.

    (N, in_channels, H, W) -> (N, 1x1 + 2 * 3x3 + 2 * double 3x3 + projection, H, W). Raises `UsageError` for counts
    below 1.

    >>> import torch
    >>> inception_expanded(1280, (320, 384, 384, 448, 384, 192))(torch.zeros(1, 1280, 8, 8)).shape
    torch.Size([1, 2048, 8, 8])
    """
    check_counts(in_channels=in_channels, widths=widths)
    width1x1, reduce, width, reduce_double, double, projection = widths
    return Concat(
        branch1x1=conv(in_channels, width1x1, 1),
        branch3x3=sequential(
            reduce=conv(in_channels, reduce, 1), expand=expanded_filter_bank(reduce, width, conv=conv)
        ),
        branch_double=sequential(
            reduce=conv(in_channels, reduce_double, 1),
            conv=conv(reduce_double, double, 3),
            expand=expanded_filter_bank(double, double, conv=conv),
        ),
        branch_pool=pooled_projection(in_channels, projection, conv=conv, pool=pool),
    )


# -------------------------------------------------------------------------------------------- heads and initial weights


def auxiliary_head(in_channels: int, num_classes: int, *, conv: Layer = CONV) -> nn.Sequential:
    """Builds the side classifier on the last 17x17 grid, section 4 and figure 8: (N, C, H, W) -> (N, num_classes).

    H and W are at least 17. The sizes of its layers are the release's.
    """
    return sequential(
        pool=nn.AvgPool2d(5, 3),
        reduce=conv(in_channels, 128, 1),
        conv=conv(128, 768, 5, padding=0),
        average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(768, num_classes),
    )


def initialize(network: nn.Module, *, std: float = 0.1, stds: Mapping[str, float] | None = None) -> None:
    """Initialises as the release: normal with deviation `std`, or with its own deviation for a layer named in `stds`.

    Biases stay at PyTorch's default. The release truncates at -2 and 2, which are 20 standard deviations.
    """
    special = {network.get_submodule(name): value for name, value in (stds or {}).items()}
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=special.get(module, std))
