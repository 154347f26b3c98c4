"""Wide ResNet 28-2 as two papers on few labels have it in their code.

Sohn et al. FixMatch. NeurIPS 2020. https://arxiv.org/abs/2001.07685, https://github.com/google-research/fixmatch,
libml/models.py. Pham et al. Meta Pseudo Labels. CVPR 2021. https://arxiv.org/abs/2003.10580,
https://github.com/google-research/google-research/tree/master/meta_pseudo_labels, modeling.py. Both have leaky ReLUs,
norms with an epsilon of 1e-3, TensorFlow's padding, and no dropout in their units.

- FixMatch: a slope of 0.1, norms with a momentum of 0.999, which is 0.001 in PyTorch's convention, convolutions with
  biases. Only the first unit shares its activation between branch and shortcut; where later units change the number of
  channels, the shortcut's 1x1 convolution takes the raw input.
- Meta Pseudo Labels: a slope of 0.2, norms with a momentum of 0.99, a stem of 32 channels, so that the first unit is an
  ordinary one, and dropout of 0.2 before the linear layer (`dropout`).
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Paper
from convatlas.layers import (
    Layer,
    Residual,
    SamePadding,
    check_counts,
    check_stages,
    classifier,
    initialize_tensorflow,
    initialize_uniform_classifier,
    preactivation_stages,
    sequential,
    shared_preactivation,
)


def _conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, bias: bool) -> nn.Module:
    """Builds a convolution with TensorFlow's padding: (N, in, H, W) -> (N, out, ceil(H / stride), ...)."""
    if stride == 1 or kernel == 1:  # here both kinds of padding are equal
        return nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=bias)
    return sequential(
        pad=SamePadding(kernel, stride), conv=nn.Conv2d(in_channels, out_channels, kernel, stride, bias=bias)
    )


def released_unit(
    in_channels: int, out_channels: int, *, stride: int, norm: Layer, act: Layer, bias: bool, raw: bool
) -> nn.Module:
    """Builds a unit of two 3x3 convolutions: (N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)).

    Where the number of channels changes, the shortcut is a 1x1 convolution. It takes the raw input if `raw`, else the
    activated one.
    """
    second = sequential(norm=norm(out_channels), act=act(), conv=_conv(out_channels, out_channels, 3, bias=bias))
    first = _conv(in_channels, out_channels, 3, stride=stride, bias=bias)
    own = sequential(norm=norm(in_channels), act=act(), conv=first)
    if in_channels == out_channels:
        return Residual(sequential(conv1=own, conv2=second))
    shortcut = _conv(in_channels, out_channels, 1, stride=stride, bias=bias)
    if raw:
        return Residual(sequential(conv1=own, conv2=second), shortcut=shortcut)
    return shared_preactivation(
        in_channels, sequential(conv1=first, conv2=second), shortcut=shortcut, norm=norm, act=act
    )


def _network(
    stem: nn.Module, stages: dict[str, nn.Module], *, width: int, norm: Layer, act: Layer, head: nn.Sequential
) -> nn.Sequential:
    network = sequential(stem=sequential(conv=stem), **stages, norm=norm(width), act=act(), head=head)
    initialize_uniform_classifier(network)
    initialize_tensorflow(network)
    return network


def wide_resnet_fixmatch(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    stem_channels: int = 16,
    depths: tuple[int, ...] = (4, 4, 4),
    widths: tuple[int, ...] = (32, 64, 128),
) -> nn.Sequential:
    """Builds the network of FixMatch's code: (N, in_channels, H, W) -> (N, num_classes).

    Each stage has `depths` units of `widths` channels; each stage but the first halves height and width. Convolutions
    begin normal by fan-out, the linear layer as Glorot's, biases with 0. Raises `UsageError` for depths and widths that
    do not match.
    """
    check_counts(stem_channels=stem_channels)
    check_stages(depths=depths, widths=widths)
    act = partial(nn.LeakyReLU, negative_slope=0.1, inplace=True)
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.001)
    unit = partial(released_unit, norm=norm, act=act, bias=True)
    stages = preactivation_stages(
        stem_channels,
        depths=depths,
        widths=widths,
        first_unit=lambda before, channels, *, stride: unit(before, channels, stride=stride, raw=stride > 1),
        next_unit=lambda channels: unit(channels, channels, stride=1, raw=True),
    )
    stem, head = _conv(in_channels, stem_channels, 3, bias=True), classifier(widths[-1], num_classes)
    network = _network(stem, stages, width=widths[-1], norm=norm, act=act, head=head)
    nn.init.xavier_normal_(head.get_parameter("fc.weight"))
    return network


def wide_resnet_mpl(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, ...] = (4, 4, 4),
    widths: tuple[int, ...] = (32, 64, 128),
    dropout: float = 0.2,
) -> nn.Sequential:
    """Builds the network of Meta Pseudo Labels' code: (N, in_channels, H, W) -> (N, num_classes).

    The stem has the channels of the first stage. `dropout` stands before the linear layer. Convolutions begin normal by
    fan-out, the linear layer uniform within 1 / sqrt(classes), its bias with 0. Raises `UsageError` for depths and
    widths that do not match, and unless 0 <= dropout < 1.
    """
    check_stages(depths=depths, widths=widths)
    act = partial(nn.LeakyReLU, negative_slope=0.2, inplace=True)
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
    unit = partial(released_unit, norm=norm, act=act, bias=False, raw=False)
    stages = preactivation_stages(
        widths[0],
        depths=depths,
        widths=widths,
        first_unit=unit,
        next_unit=lambda channels: unit(channels, channels, stride=1),
    )
    stem, head = _conv(in_channels, widths[0], 3, bias=False), classifier(widths[-1], num_classes, dropout=dropout)
    return _network(stem, stages, width=widths[-1], norm=norm, act=act, head=head)


ROWS = (
    Architecture(
        "wide_resnet28_2_fixmatch",
        builder=wide_resnet_fixmatch,
        paper=Paper("FixMatch", "Sohn et al.", 2020, "https://arxiv.org/abs/2001.07685"),
        dataset="cifar10",
        params=1_469_642,
        macs=214_353_152,
        recipe="wide_cifar",
    ),
    Architecture(
        "wide_resnet28_2_mpl",
        builder=wide_resnet_mpl,
        paper=Paper("Meta Pseudo Labels", "Pham et al.", 2020, "https://arxiv.org/abs/2003.10580"),
        dataset="cifar10",
        params=1_472_170,
        macs=218_989_824,
        recipe="wide_cifar",
    ),
)
