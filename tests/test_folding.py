"""Batch norms folded into convolutions: the same function, and only where that is certain."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import convatlas
from convatlas.layers import ConvNormAct, Residual, folded
from convatlas.prediction import answering


def randomised(network: nn.Module) -> nn.Module:
    """The network in float64 and eval mode, its norms far from the identity."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.5), (module.bias, -1), (module.running_mean, -1)):
                tensor.data.uniform_(low, 1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network.double().eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("resnet_uva", 19, 0),
        ("preact_resnet_uva", 20, 11),
        ("googlenet_uva", 49, 0),
        ("densenet_uva", 52, 28),
        ("mobilenet_v2", 52, 0),
    ],
)
def test_a_folded_network_is_the_same_function(name: str, before: int, after: int) -> None:
    torch.manual_seed(0)
    network = randomised(convatlas.create(name, num_classes=10))
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    other = folded(network)
    with torch.no_grad():
        logits, expected = other(images), network(images)
    assert (norms(network), norms(other)) == (before, after)
    assert (logits - expected).abs().max() <= 1e-12 * expected.abs().max()


def same(network: nn.Module) -> None:
    """Nothing can be folded, and the function stays."""
    network = randomised(network)
    other = folded(network)
    images = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    assert norms(other) == norms(network)
    assert torch.equal(other(images), network(images))


def test_a_norm_after_a_branching_point_stays() -> None:
    """The convolution's output goes to both paths."""
    same(nn.Sequential(nn.Conv2d(4, 4, 1), Residual(nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))))


def test_a_layer_that_is_used_twice_stays() -> None:
    conv = nn.Conv2d(4, 4, 1)
    same(nn.Sequential(conv, nn.BatchNorm2d(4), conv, nn.ReLU(), nn.BatchNorm2d(4)))


def test_standardised_convolutions_and_norms_of_the_batch_stay() -> None:
    class Standardised(nn.Conv2d):
        pass

    same(nn.Sequential(Standardised(4, 4, 1), nn.BatchNorm2d(4)))
    other = folded(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)))
    assert norms(other) == 1


def test_a_network_that_is_one_layer() -> None:
    assert isinstance(folded(nn.ReLU()), nn.ReLU)


def test_float32_is_not_folded() -> None:
    network = ConvNormAct(3, 8, 3)
    assert answering(network, precision="float32") is network
    assert norms(answering(network, precision="bf16")) == 0
    assert norms(network) == 1
