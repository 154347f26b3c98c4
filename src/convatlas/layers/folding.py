"""Folding of batch norms into the convolutions before them: fewer operations for the same answers, not for training."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol, runtime_checkable

from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

Place = tuple[nn.Module, str]  # a layer's parent and its name there


@runtime_checkable
class FoldsItself(Protocol):
    """A module that knows itself how its norms are folded, because several of them follow one convolution."""

    def fold_norms(self) -> None:
        """Folds the norms in place, in eval mode."""


def folded(network: nn.Module) -> nn.Module:
    """Returns a copy in eval mode in which each batch norm right after a convolution is part of that convolution.

    The copy gives the network's answers, up to rounding. A pair is folded only where the convolution's output goes to
    the norm and nowhere else: the norm follows the convolution in an `nn.Sequential`, and neither of them is used
    twice. A norm without a convolution before it, such as the first one of a pre-activation network, stays as it is. A
    module that `FoldsItself` is asked to.

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
    for module in network.modules():
        if isinstance(module, FoldsItself):
            module.fold_norms()
    return outermost.get_submodule("network")


def _chains(module: nn.Module) -> Iterator[list[Place]]:
    """Yields each chain below a module as the places of its layers, in order."""
    places = list(_places(module)) if _is_chain(module) else []
    yield places
    inner = [getattr(parent, name) for parent, name in places] if _is_chain(module) else module.children()
    for child in inner:
        yield from _chains(child)


def _places(chain: nn.Module) -> Iterator[Place]:
    """Yields the places of a chain's layers in order, with the layers of the chains inside it."""
    for name, child in chain.named_children():
        if _is_chain(child):
            yield from _places(child)
        else:
            yield chain, name


def _is_chain(module: nn.Module) -> bool:
    """Returns whether a module only calls its children in their order."""
    return type(module).forward is nn.Sequential.forward
