"""Wide ResNet 28-2 of FixMatch's and Meta Pseudo Labels' code, against their data flow in plain functions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import convatlas


def parameters_in_order(network: nn.Module) -> tuple[Iterator[nn.Conv2d], Iterator[nn.BatchNorm2d]]:
    """The network's convolutions and norms, in the order in which they stand in it."""
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    return iter(convolutions), iter([module for module in network.modules() if isinstance(module, nn.BatchNorm2d)])


def same_conv(x: Tensor, conv: nn.Conv2d, stride: int) -> Tensor:
    """TensorFlow's padding, typed for even sizes: at stride 2 one row and one column of zeros behind a 3x3."""
    kernel = conv.weight.shape[-1]
    padding = ((0, 1) if stride == 2 else (1, 1)) if kernel == 3 else (0, 0)
    return F.conv2d(F.pad(x, (*padding, *padding)), conv.weight, conv.bias, stride)


def norm(x: Tensor, layer: nn.BatchNorm2d) -> Tensor:
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=1e-3)


def reference(name: str, network: nn.Module, x: Tensor) -> Tensor:
    """The logits as the two papers' code computes them."""
    fixmatch = name.endswith("fixmatch")
    slope = 0.1 if fixmatch else 0.2
    convs, norms = parameters_in_order(network)
    x = same_conv(x, next(convs), 1)
    for stage, channels in enumerate((32, 64, 128)):
        for unit in range(4):
            stride = 2 if stage and not unit else 1
            changes = x.shape[1] != channels
            activated = F.leaky_relu(norm(x, next(norms)), slope)
            kept = activated if changes and (not fixmatch or stage == 0) else x
            branch = same_conv(activated, next(convs), stride)
            branch = same_conv(F.leaky_relu(norm(branch, next(norms)), slope), next(convs), 1)
            x = branch + (same_conv(kept, next(convs), stride) if changes else kept)
    features = F.leaky_relu(norm(x, next(norms)), slope).mean((2, 3))
    fc = network.get_submodule("head.fc")
    return F.linear(features, fc.get_parameter("weight"), fc.get_parameter("bias"))


@pytest.mark.parity
@pytest.mark.parametrize("name", ["wide_resnet28_2_fixmatch", "wide_resnet28_2_mpl"])
def test_the_data_flow_is_that_of_the_code(name: str) -> None:
    torch.manual_seed(0)
    network = convatlas.create(name).double().eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) * 0.2 + (0.5 if tensor.dim() == 1 else -0.1))
        x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
        torch.testing.assert_close(network(x), reference(name, network, x), rtol=1e-10, atol=1e-10)


def test_the_first_weights_are_those_of_the_code() -> None:
    """Convolutions normal with variance 2 / (9 * channels); Glorot's or uniform linear weights; biases 0."""
    torch.manual_seed(0)
    for name, deviation in (("fixmatch", (2 / (128 + 10)) ** 0.5), ("mpl", (1 / 30) ** 0.5)):
        network = convatlas.create(f"wide_resnet28_2_{name}")
        last = network.get_submodule("stage3.3.branch.conv2.conv")
        assert last.get_parameter("weight").std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
        assert network.get_submodule("head.fc").get_parameter("weight").std().item() == pytest.approx(
            deviation, rel=0.1
        )
        biases = [value for path, value in network.named_parameters() if path.endswith(("conv.bias", "fc.bias"))]
        assert not any(bias.any() for bias in biases)
