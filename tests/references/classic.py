"""Plain LeNet-5, AlexNet and NiN as their papers have them: functions of our tensors."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from changes import away, exchange, replace, settings
from comparison import Compute, Mistake, Row, State, Written, ours_already, randomize
from convatlas.architectures.alexnet import response_norm
from convatlas.architectures.lenet import RadialBasis, TableConvolution

# The paper's table I as it is printed: a row for each map of S2, a column for each map of C3.
TABLE_1 = (
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
)


def normalised_by_hand(features: Tensor, *, alpha: float = 1e-4, size: int = 5) -> Tensor:
    """Section 3.3 of the paper of 2012: the sum of squares is not divided by the number of neighbours."""
    channels = features.shape[1]
    result = torch.empty_like(features)
    for i in range(channels):
        total = torch.zeros_like(features[:, i])
        for j in range(max(0, i - size // 2), min(channels - 1, i + size // 2) + 1):
            total += features[:, j] ** 2
        result[:, i] = features[:, i] / (2 + alpha * total) ** 0.75
    return result


def reference_lenet5_original(state: State, images: Tensor, *, train: bool) -> Tensor:
    """C3 as one convolution whose weights are 0 where the table has no connection."""

    def squash(x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)

    def subsample(x: Tensor, name: str) -> Tensor:
        total = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
        shape = (1, -1, 1, 1)
        return squash(total * state[f"{name}.coefficient"].view(shape) + state[f"{name}.bias"].view(shape))

    weight = images.new_zeros(16, 6, 5, 5)
    for column in range(16):
        seen = [row for row in range(6) if TABLE_1[row][column] == "X"]
        weight[column, seen] = state[f"stage2.conv.conv.maps.{column}.weight"][0]
    bias = torch.cat([state[f"stage2.conv.conv.maps.{column}.bias"] for column in range(16)])
    x = squash(F.conv2d(images, state["stage1.conv.conv.weight"], state["stage1.conv.conv.bias"]))
    x = squash(F.conv2d(subsample(x, "stage1.pool.sum"), weight, bias))
    x = subsample(x, "stage2.pool.sum").flatten(1)
    x = squash(x @ state["stage3.conv.weight"].flatten(1).T + state["stage3.conv.bias"])
    x = squash(x @ state["head.fc1.weight"].T + state["head.fc1.bias"])
    return -(torch.cdist(x, state["head.rbf.codes"]) ** 2)


def reference_alexnet_original(state: State, images: Tensor, *, train: bool) -> Tensor:
    """Two towers, computed apart."""

    def relu_conv(x: Tensor, name: str, *, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding).clamp(min=0)

    def towers(x: Tensor, name: str, *, padding: int) -> Tensor:
        weights, biases = state[f"{name}.weight"].chunk(2), state[f"{name}.bias"].chunk(2)
        parts = zip(x.chunk(2, 1), weights, biases, strict=True)
        return torch.cat([F.conv2d(half, w, b, padding=padding) for half, w, b in parts], 1).clamp(min=0)

    def pool(x: Tensor) -> Tensor:
        return x.unfold(2, 3, 2).unfold(3, 3, 2).amax((-1, -2))

    x = pool(normalised_by_hand(relu_conv(images, "stem.conv.conv", stride=4)))
    x = pool(normalised_by_hand(towers(x, "stage1.conv.conv", padding=2)))
    x = relu_conv(x, "stage2.conv1.conv", padding=1)
    x = towers(x, "stage2.conv2.conv", padding=1)
    x = pool(towers(x, "stage2.conv3.conv", padding=1)).flatten(1)
    for name in ("head.fc1", "head.fc2"):
        x = (x @ state[f"{name}.weight"].T + state[f"{name}.bias"]).clamp(min=0)
    return x @ state["head.fc.weight"].T + state["head.fc.bias"]


def reference_nin_cifar(state: State, images: Tensor, *, train: bool) -> Tensor:
    """Windows of 3 with a stride of 2 from the left and top edge; the last one holds 2 pixels only."""

    def mlpconv(x: Tensor, name: str) -> Tensor:
        for index, padding in enumerate((state[f"{name}.conv1.conv.weight"].shape[2] // 2, 0, 0), start=1):
            weight, bias = state[f"{name}.conv{index}.conv.weight"], state[f"{name}.conv{index}.conv.bias"]
            x = F.conv2d(x, weight, bias, padding=padding).clamp(min=0)
        return x

    def windows(x: Tensor) -> list[list[Tensor]]:
        starts = range(0, x.shape[2] - 1, 2)
        return [[x[:, :, i : i + 3, j : j + 3].flatten(2) for j in starts] for i in starts]

    x = mlpconv(images, "stage1")
    x = torch.stack([torch.stack([window.amax(2) for window in row], 2) for row in windows(x)], 2)
    x = mlpconv(x, "stage2")
    x = torch.stack([torch.stack([window.mean(2) for window in row], 2) for row in windows(x)], 2)
    return mlpconv(x, "head").mean((2, 3))


# ------------------------------------------------------------------------------------------------- rows and mistakes

EVAL = ("eval",)
OURS = ("eval", "gradients")  # the references draw no dropout, and have no norms that remember


def _row(name: str, compute: Compute, image: tuple[int, int, int], *, scale: float = 1.0) -> Row:
    """The reference has our names already."""
    ours = partial(convatlas.create, name, num_classes=10)

    def reference() -> nn.Module:
        return Written(randomize(ours()).state_dict(), compute)

    return Row(name, reference, ours, ours_already, image, scale=scale, sights=OURS)


ROWS = (
    _row("lenet5_original", reference_lenet5_original, (1, 32, 32)),
    _row("alexnet_original", reference_alexnet_original, (3, 227, 227), scale=50.0),  # as pixels are: its norms matter
    _row("nin_cifar", reference_nin_cifar, (3, 32, 32)),
)


def reroute(network: nn.Module) -> None:
    """The tenth map of C3 sees what the twelfth does."""
    c3 = network.get_submodule("stage2.conv.conv")
    assert isinstance(c3, TableConvolution)
    c3.table = (*c3.table[:9], (0, 1, 2, 5), *c3.table[10:])


def average_for_sum(network: nn.Module) -> None:
    class Average(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, features: Tensor) -> Tensor:
            result: Tensor = self.layer(features / 4)
            return result

    replace("stage1.pool.sum", Average(network.get_submodule("stage1.pool.sum")))(network)


def coefficient_for_bias(network: nn.Module) -> None:
    layer = network.get_submodule("stage2.pool.sum")
    layer.coefficient, layer.bias = layer.get_parameter("bias"), layer.get_parameter("coefficient")


class Distance(RadialBasis):
    def forward(self, features: Tensor) -> Tensor:
        return -(-super().forward(features)).sqrt()


class Nearness(RadialBasis):
    def forward(self, features: Tensor) -> Tensor:
        return -super().forward(features)


class SwappedTowers(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.roll(features.shape[1] // 2, 1)


def towers_crossed(network: nn.Module) -> None:
    stage = network.get_submodule("stage2")
    stage.conv2 = nn.Sequential(SwappedTowers(), stage.get_submodule("conv2"))


def norm_before_the_activation(network: nn.Module) -> None:
    stem = network.get_submodule("stem")
    stem.conv = nn.Sequential(stem.get_submodule("conv.conv"), response_norm(), nn.ReLU())
    stem.norm = nn.Identity()


means_over_zeros = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(3, 2))

MISTAKES = (
    Mistake("lenet5_original", "another table", reroute, seen_in=EVAL),
    Mistake("lenet5_original", "plain tanh", replace("stage1.pool.act", nn.Tanh()), seen_in=EVAL),
    Mistake("lenet5_original", "no squashing after C1", away("stage1.conv.act"), seen_in=EVAL),
    Mistake("lenet5_original", "no squashing after S4", away("stage2.pool.act"), seen_in=EVAL),
    Mistake("lenet5_original", "no squashing after F6", away("head.act1"), seen_in=EVAL),
    Mistake("lenet5_original", "the mean for the sum", average_for_sum, seen_in=EVAL),
    Mistake("lenet5_original", "maxima in S2", replace("stage1.pool.sum", nn.MaxPool2d(2)), seen_in=EVAL),
    Mistake(
        "lenet5_original", "the distance not squared", replace("head.rbf", Distance(84, 10).double()), seen_in=EVAL
    ),
    Mistake("lenet5_original", "the distance's sign", replace("head.rbf", Nearness(84, 10).double()), seen_in=EVAL),
    Mistake("lenet5_original", "coefficient and bias swapped", coefficient_for_bias, seen_in=EVAL),
    Mistake("alexnet_original", "PyTorch's alpha", settings("stem.norm", alpha=1e-4), seen_in=EVAL),
    Mistake("alexnet_original", "another k", settings("stem.norm", k=1.0), seen_in=EVAL),
    Mistake("alexnet_original", "another beta", settings("stage1.norm", beta=0.5), seen_in=EVAL),
    Mistake("alexnet_original", "three neighbours", settings("stage1.norm", size=3), seen_in=EVAL),
    Mistake("alexnet_original", "norm after the pooling", exchange("stem", "norm", "pool"), seen_in=EVAL),
    Mistake("alexnet_original", "norm before the activation", norm_before_the_activation, seen_in=EVAL),
    Mistake("alexnet_original", "no norm", away("stage1.norm"), seen_in=EVAL),
    Mistake(
        "alexnet_original", "pooling that does not overlap", replace("stem.pool", nn.MaxPool2d(2, 2)), seen_in=EVAL
    ),
    Mistake("alexnet_original", "means for maxima", replace("stage2.pool", nn.AvgPool2d(3, 2)), seen_in=EVAL),
    Mistake("alexnet_original", "towers crossed", towers_crossed, seen_in=EVAL),
    Mistake("alexnet_original", "no activation", away("stage2.conv1.act"), seen_in=EVAL),
    Mistake("alexnet_original", "no activation between linear layers", away("head.act2"), seen_in=EVAL),
    Mistake("nin_cifar", "maxima in both", replace("stage2.pool", nn.MaxPool2d(3, 2, ceil_mode=True)), seen_in=EVAL),
    Mistake("nin_cifar", "means in both", replace("stage1.pool", nn.AvgPool2d(3, 2, ceil_mode=True)), seen_in=EVAL),
    Mistake("nin_cifar", "windows from a margin", replace("stage1.pool", nn.MaxPool2d(3, 2, padding=1)), seen_in=EVAL),
    Mistake("nin_cifar", "no window at the far edge", replace("stage2.pool", nn.AvgPool2d(3, 2)), seen_in=EVAL),
    Mistake("nin_cifar", "means over zeros", replace("stage2.pool", means_over_zeros), seen_in=EVAL),
    Mistake("nin_cifar", "no last activation", away("head.conv3.act"), seen_in=EVAL),
    Mistake("nin_cifar", "no activation inside", away("stage1.conv2.act"), seen_in=EVAL),
    Mistake("nin_cifar", "1x1 convolutions swapped", exchange("stage2", "conv2", "conv3"), seen_in=EVAL),
    Mistake("nin_cifar", "maxima of the classes", replace("head.pool", nn.AdaptiveMaxPool2d(1)), seen_in=EVAL),
)
