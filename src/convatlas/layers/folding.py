"""Batch norms folded into the convolutions before them, for answers only: the same function in fewer operations."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

Place = tuple[nn.Module, str]  # a layer's parent and its name there


def folded(network: nn.Module) -> nn.Module:
    """A copy in eval mode in which each batch norm right after a convolution is part of that convolution.

    (N, C, H, W) -> what the network gives, but for rounding. Only where the convolution's output goes to the norm and
    nowhere else: both follow each other in an `nn.Sequential`, and neither is used twice. A norm that stands before its
    convolution stays where no other convolution precedes it.

    >>> from convatlas.layers import ConvNormAct
    >>> [type(layer).__name__ for layer in folded(ConvNormAct(3, 8, 3))]
    ['Conv2d', 'Identity', 'ReLU']
    """
    network = copy.deepcopy(network).eval()
    uses = Counter(module for _, module in network.named_modules(remove_duplicate=False))
    outermost = nn.Sequential()
    outermost.add_module("network", network)
    for chain in _chains(outermost):
        for (parent, name), (next_parent, next_name) in pairwise(chain):
            conv, norm = getattr(parent, name), getattr(next_parent, next_name)
            plain = type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.running_mean is not None
            if plain and uses[conv] == uses[norm] == 1:
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(next_parent, next_name, nn.Identity())
    return outermost.get_submodule("network")


def _chains(module: nn.Module) -> Iterator[list[Place]]:
    """The places of the layers of every chain below a module, each chain in its order."""
    places = list(_places(module)) if _is_chain(module) else []
    yield places
    inner = [getattr(parent, name) for parent, name in places] if _is_chain(module) else module.children()
    for child in inner:
        yield from _chains(child)


def _places(chain: nn.Module) -> Iterator[Place]:
    """The layers of a chain in their order, those of chains in it included."""
    for name, child in chain.named_children():
        if _is_chain(child):
            yield from _places(child)
        else:
            yield chain, name


def _is_chain(module: nn.Module) -> bool:
    """Whether a module does nothing but call its children in their order."""
    return type(module).forward is nn.Sequential.forward
