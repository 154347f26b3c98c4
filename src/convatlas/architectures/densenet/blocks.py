"""The parts of DenseNets at every scale: layers, transitions, and blocks that keep or recompute their concatenations.

Huang, Liu, van der Maaten, Weinberger. Densely Connected Convolutional Networks. CVPR 2017.
https://arxiv.org/abs/1608.06993
Pleiss, Chen, Huang, Li, van der Maaten, Weinberger. Memory-Efficient Implementation of DenseNets. 2017.
https://arxiv.org/abs/1707.06990
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from convatlas.errors import UsageError
from convatlas.layers import Concat, Layer, NormActConv, check_dropout, sequential


def check_fractions(*, dropout: float, compression: float = 1.0) -> None:
    """Raises `UsageError` unless 0 <= dropout < 1 and 0 < compression <= 1."""
    check_dropout(dropout)
    if not 0 < compression <= 1:
        raise UsageError(f"compression={compression} must be above 0 and at most 1")


def dropped(layer: NormActConv, dropout: float) -> NormActConv:
    """Returns the layer, followed by dropout unless `dropout` is 0."""
    if dropout:
        layer.add_module("dropout", nn.Dropout(dropout))
    return layer


def basic_layer(in_channels: int, *, growth_rate: int, act: Layer, dropout: float) -> Concat:
    """Builds norm-act-conv 3x3, section 3 "Composite function": (N, C, H, W) -> (N, C + growth_rate, H, W)."""
    conv = dropped(NormActConv(in_channels, growth_rate, 3, act=act), dropout)
    return Concat(old=nn.Identity(), new=sequential(conv1=conv))


def bottleneck_layer(in_channels: int, *, growth_rate: int, act: Layer, dropout: float) -> Concat:
    """Builds norm-act-conv 1x1 and norm-act-conv 3x3, section 3 "Bottleneck layers".

    (N, C, H, W) -> (N, C + growth_rate, H, W).
    """
    new = sequential(
        conv1=dropped(NormActConv(in_channels, 4 * growth_rate, 1, act=act), dropout),
        conv2=dropped(NormActConv(4 * growth_rate, growth_rate, 3, act=act), dropout),
    )
    return Concat(old=nn.Identity(), new=new)


def new_first_layer(in_channels: int, *, growth_rate: int, act: Layer, dropout: float) -> Concat:
    """Builds a bottleneck layer whose new features come before the old ones."""
    layer = bottleneck_layer(in_channels, growth_rate=growth_rate, act=act, dropout=dropout)
    return Concat(new=layer.get_submodule("new"), old=nn.Identity())


LAYERS = {"basic": basic_layer, "bottleneck": bottleneck_layer, "bottleneck_new_first": new_first_layer}


class RecomputedBlock(nn.Sequential):
    """A dense block that keeps no concatenation for the gradients: it computes it, its norm and its activation again.

    (N, C, H, W) -> (N, C + depth * growth_rate, H, W), like an `nn.Sequential` of these layers. The concatenations grow
    with the square of the depth and are recomputed. The outputs of convolutions grow with the depth and are kept, as in
    Pleiss et al. 2017. Without gradients and in eval mode nothing is recomputed. The running statistics are updated
    once. Dropout follows the convolutions and is drawn once.
    """

    def forward(self, features: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            for layer in self:
                features = layer(features)
            return features
        parts = [features]
        for layer in self:
            first, *others = layer.get_submodule("new").children()
            new = _recomputing(first, parts)
            for module in others:
                new = module(new)
            parts = [part for name, _ in layer.named_children() for part in ([new] if name == "new" else parts)]
        return torch.cat(parts, 1)


def _recomputing(layer: nn.Module, parts: list[Tensor]) -> Tensor:
    """Returns norm, activation, convolution and optional dropout of the concatenated `parts`; only the parts are kept.

    The convolution works once: recomputation stops at the convolution's input, which is all that the gradients need.
    """
    norm, act, conv, *dropout = layer.children()

    def compute(*inputs: Tensor) -> Tensor:
        new: Tensor = conv(act(norm(torch.cat(inputs, 1))))
        return new

    training = norm.training
    features: Tensor = checkpoint(
        compute,
        *parts,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), _once_more(norm, training=training)),
    )
    for module in dropout:
        features = module(features)
    return features


@contextmanager
def _once_more(norm: nn.Module, *, training: bool) -> Iterator[None]:
    """Gives the norm, within the context, the mode of its first pass and copies of its running statistics."""
    now, buffers = norm.training, dict(norm.named_buffers())
    try:
        norm.training = training
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
        yield
    finally:
        norm.training = now
        for name, buffer in buffers.items():
            setattr(norm, name, buffer)


def dense_block(
    in_channels: int,
    depth: int,
    *,
    growth_rate: int,
    layer: Callable[..., nn.Module],
    kind: type[nn.Sequential] = nn.Sequential,
) -> tuple[nn.Sequential, int]:
    """Builds `depth` layers, each on the features of all layers before it; returns also the channels after the last.

    (N, C, H, W) -> (N, C + depth * growth_rate, H, W).
    """
    layers = (layer(in_channels + growth_rate * index, growth_rate=growth_rate) for index in range(depth))
    return kind(*layers), in_channels + growth_rate * depth


def transition(
    in_channels: int, *, act: Layer, compression: float = 0.5, dropout: float = 0.0
) -> tuple[nn.Sequential, int]:
    """Builds norm-act-conv 1x1 and 2x2 average pooling; returns also the channels kept, rounded down (at least 1).

    (N, C, H, W) -> (N, compression * C, H / 2, W / 2).
    """
    kept = max(1, int(in_channels * compression))
    conv = dropped(NormActConv(in_channels, kept, 1, act=act), dropout)
    return sequential(conv=conv, pool=nn.AvgPool2d(2)), kept


def dense_stages(
    channels: int,
    depths: tuple[int, ...],
    *,
    block: Callable[[int, int], tuple[nn.Module, int]],
    between: Callable[[int], tuple[nn.Module, int]],
) -> tuple[dict[str, nn.Module], int]:
    """Builds blocks of `depths` layers with transitions between them, by name; returns also the last channels."""
    stages: dict[str, nn.Module] = {}
    for index, depth in enumerate(depths, start=1):
        if index > 1:
            stages[f"transition{index - 1}"], channels = between(channels)
        stages[f"block{index}"], channels = block(channels, depth)
    return stages, channels
