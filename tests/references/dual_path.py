"""Plain dual path networks: functions of a state dict with the key names of published code.

They share nothing with the package. Both paths are tensors of their own here; grouped convolutions work group by group.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from changes import Change, add, away, epsilon, replace, strides
from comparison import Compute, Mistake, Names, Row, State, Written
from convatlas.architectures.dpn.blocks import DualPath
from convatlas.weights import checkpoint_of, identify

# A small network: blocks, width of the residual path, width of the 3x3, growth rate of each stage.
STAGES = ((3, 24, 16, 8), (2, 32, 24, 12), (1, 40, 32, 10), (2, 48, 16, 6))
GROUPS, STEM, CLASSES = 4, 12, 5
OPTIONS = {
    "depths": tuple(stage[0] for stage in STAGES),
    "widths": tuple(stage[1] for stage in STAGES),
    "inner_widths": tuple(stage[2] for stage in STAGES),
    "growth_rates": tuple(stage[3] for stage in STAGES),
    "groups": GROUPS,
    "stem_channels": STEM,
}


@dataclass
class RandomState:
    """Tensors of random values, none at its default, added one layer after the other."""

    seed: int
    state: State = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)

    def uniform(self, name: str, shape: tuple[int, ...], low: float, high: float) -> None:
        self.state[name] = torch.empty(shape).uniform_(low, high, generator=self.generator)

    def weight(self, name: str, *shape: int) -> None:
        """With the variance 1.5 / fan-in."""
        bound = (4.5 / torch.Size(shape[1:]).numel()) ** 0.5
        self.uniform(f"{name}.weight", shape, -bound, bound)

    def norm(self, name: str, channels: int) -> None:
        self.uniform(f"{name}.weight", (channels,), 0.5, 1.5)
        self.uniform(f"{name}.bias", (channels,), -0.5, 0.5)
        self.uniform(f"{name}.running_mean", (channels,), -0.5, 0.5)
        self.uniform(f"{name}.running_var", (channels,), 0.5, 1.5)
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)


def authors_state() -> State:
    """The authors' form with timm's key names; the classifier is a 1x1 convolution."""
    random = RandomState(0)
    random.weight("features.conv1_1.conv", STEM, 3, 7, 7)
    random.norm("features.conv1_1.bn", STEM)
    channels = STEM
    for number, (depth, width, inner, growth) in enumerate(STAGES, start=2):
        for block in range(1, depth + 1):
            name = f"features.conv{number}_{block}"
            parts = {
                "c1x1_a": (channels, inner, 1),
                "c3x3_b": (inner, inner // GROUPS, 3),
                "c1x1_c": (inner, width + growth, 1),
            }
            if block == 1:
                parts[f"c1x1_w_s{1 if number == 2 else 2}"] = (channels, width + 2 * growth, 1)
            for part, (in_channels, other, kernel) in parts.items():
                random.norm(f"{name}.{part}.bn", in_channels)
                shape = (inner, other) if kernel == 3 else (other, in_channels)
                random.weight(f"{name}.{part}.conv", *shape, kernel, kernel)
            channels = width + 3 * growth if block == 1 else channels + growth
    random.norm("features.conv5_bn_ac.bn", channels)
    random.weight("classifier", CLASSES, channels, 1, 1)
    random.uniform("classifier.bias", (CLASSES,), -0.5, 0.5)
    return random.state


def kuangliu_state() -> State:
    """kuangliu's form with its key names."""
    random = RandomState(1)
    random.weight("conv1", STEM, 3, 3, 3)
    random.norm("bn1", STEM)
    channels = STEM
    for number, (depth, width, inner, growth) in enumerate(STAGES, start=1):
        for block in range(depth):
            name = f"layer{number}.{block}"
            random.weight(f"{name}.conv1", inner, channels, 1, 1)
            random.norm(f"{name}.bn1", inner)
            random.weight(f"{name}.conv2", inner, inner // GROUPS, 3, 3)
            random.norm(f"{name}.bn2", inner)
            random.weight(f"{name}.conv3", width + growth, inner, 1, 1)
            random.norm(f"{name}.bn3", width + growth)
            if block == 0:
                random.weight(f"{name}.shortcut.0", width + growth, channels, 1, 1)
                random.norm(f"{name}.shortcut.1", width + growth)
            channels = width + (block + 2) * growth
    random.weight("linear", CLASSES, channels)
    random.uniform("linear.bias", (CLASSES,), -0.5, 0.5)
    return random.state


@dataclass
class Layers:
    """The layers of a state dict; in training the norms change its running statistics."""

    state: State
    train: bool
    eps: float

    def norm(self, name: str, x: Tensor) -> Tensor:
        mean, var = (self.state[f"{name}.running_{which}"] for which in ("mean", "var"))
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.batch_norm(x, mean, var, weight, bias, self.train, 0.1, self.eps)

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        groups = x.shape[1] // weight.shape[1]
        parts = zip(x.chunk(groups, 1), weight.chunk(groups, 0), strict=True)
        around = weight.shape[-1] // 2
        return torch.cat([F.conv2d(part, filters, None, stride, around) for part, filters in parts], 1)


def authors_logits(state: State, images: Tensor, *, train: bool) -> Tensor:
    layers = Layers(state, train, eps=1e-3)

    def unit(name: str, x: Tensor, stride: int = 1) -> Tensor:
        return layers.conv(f"{name}.conv", layers.norm(f"{name}.bn", x).clamp(min=0), stride)

    x = layers.norm("features.conv1_1.bn", layers.conv("features.conv1_1.conv", images, 2)).clamp(min=0)
    residual, dense = F.max_pool2d(x, 3, 2, 1), x.new_zeros(0)
    for number, (depth, width, _, _) in enumerate(STAGES, start=2):
        for block in range(1, depth + 1):
            name, stride = f"features.conv{number}_{block}", 2 if block == 1 and number > 2 else 1
            x = torch.cat([residual, dense], 1) if dense.numel() else residual
            if block == 1:
                projected = unit(f"{name}.c1x1_w_s{stride}", x, stride)
                residual, dense = projected[:, :width], projected[:, width:]
            x = unit(f"{name}.c1x1_c", unit(f"{name}.c3x3_b", unit(f"{name}.c1x1_a", x), stride))
            residual, dense = residual + x[:, :width], torch.cat([dense, x[:, width:]], 1)
    x = layers.norm("features.conv5_bn_ac.bn", torch.cat([residual, dense], 1)).clamp(min=0)
    return x.mean((2, 3)) @ state["classifier.weight"][:, :, 0, 0].T + state["classifier.bias"]


def kuangliu_logits(state: State, images: Tensor, *, train: bool) -> Tensor:
    layers = Layers(state, train, eps=1e-5)
    x = layers.norm("bn1", layers.conv("conv1", images)).clamp(min=0)
    for number, (depth, width, _, _) in enumerate(STAGES, start=1):
        for block in range(depth):
            name, stride = f"layer{number}.{block}", 2 if block == 0 and number > 1 else 1
            new = layers.norm(f"{name}.bn1", layers.conv(f"{name}.conv1", x)).clamp(min=0)
            new = layers.norm(f"{name}.bn2", layers.conv(f"{name}.conv2", new, stride)).clamp(min=0)
            new = layers.norm(f"{name}.bn3", layers.conv(f"{name}.conv3", new))
            if block == 0:
                x = layers.norm(f"{name}.shortcut.1", layers.conv(f"{name}.shortcut.0", x, stride))
            residual = (x[:, :width] + new[:, :width]).clamp(min=0)
            dense = torch.cat([x[:, width:], new[:, width:]], 1).clamp(min=0)
            x = torch.cat([residual, dense], 1)
    return x.mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]


# ------------------------------------------------------------------------------------------------- rows and mistakes


def by_the_layout(name: str) -> Names:
    """Returns our names as a checkpoint's are found, through the table of the row's layout."""
    return lambda _, state: identify(checkpoint_of(state), arch=name, options=OPTIONS).state


def _row(name: str, state: State, compute: Compute, *, pixels: int) -> Row:
    ours = partial(convatlas.create, name, num_classes=CLASSES, **OPTIONS)
    return Row(name, partial(Written, state, compute), ours, by_the_layout(name), (3, pixels, pixels))


# Odd sizes on the way: 36, 18, 9, 5 and 3; 13, 7, 4 and 2.
ROWS = (
    _row("dpn92", authors_state(), authors_logits, pixels=72),
    _row("dpn26_cifar", kuangliu_state(), kuangliu_logits, pixels=13),
)


def groups_shuffled(network: nn.Module) -> None:
    weight = network.get_parameter("stage1.1.branch.conv2.conv.weight")
    weight.data = weight.data.roll(len(weight) // GROUPS, 0)


def whole_branch_joined_first(network: nn.Module) -> None:
    """The branch's output split from its end."""
    conv = network.get_submodule("stage1.1.branch.conv3")
    for tensor in (*conv.parameters(), *(b for b in conv.buffers() if b.ndim)):
        if len(tensor) == OPTIONS["widths"][0] + OPTIONS["growth_rates"][0]:
            tensor.data = tensor.data.roll(-OPTIONS["growth_rates"][0], 0)


class NewestFirst(DualPath):
    def forward(self, features: Tensor) -> Tensor:
        learned, kept = self.branch(features), self.shortcut(features)
        residual = kept[:, : self.width] + learned[:, : self.width]
        return self.act(torch.cat([residual, learned[:, self.width :], kept[:, self.width :]], 1))


class ActivatedSum(DualPath):
    """The activation of the residual path only."""

    def forward(self, features: Tensor) -> Tensor:
        learned, kept = self.branch(features), self.shortcut(features)
        residual = (kept[:, : self.width] + learned[:, : self.width]).relu()
        return torch.cat([residual, kept[:, self.width :], learned[:, self.width :]], 1)


def rejoined(kind: type[DualPath]) -> Change:
    def mutate(network: nn.Module) -> None:
        block = network.get_submodule("stage1.1")
        new = kind(block.branch, width=block.width, shortcut=block.shortcut, act=block.act)
        replace("stage1.1", new)(network)

    return mutate


MISTAKES = (
    Mistake("dpn92", "another epsilon", epsilon(1e-5)),
    Mistake("dpn92", "newest features first", rejoined(NewestFirst)),
    Mistake("dpn92", "an activation in the residual path", rejoined(ActivatedSum)),
    Mistake("dpn92", "branch split from its end", whole_branch_joined_first),
    Mistake("dpn92", "stride on the first 1x1", strides("stage2.0.branch", 2, 1)),
    Mistake("dpn92", "groups shuffled", groups_shuffled),
    Mistake("dpn92", "projection without activation", away("stage3.0.shortcut.act")),
    Mistake("dpn92", "final activation missing", away("act")),
    Mistake("dpn92", "ELU at the end", replace("act", nn.ELU())),
    Mistake("dpn92", "stem's pooling not padded", replace("stem.pool", nn.MaxPool2d(3, 2, ceil_mode=True))),
    Mistake("dpn26_cifar", "another epsilon", epsilon(1e-3)),
    Mistake("dpn26_cifar", "newest features first", rejoined(NewestFirst)),
    Mistake("dpn26_cifar", "dense path not activated", rejoined(ActivatedSum)),
    Mistake("dpn26_cifar", "branch split from its end", whole_branch_joined_first),
    Mistake("dpn26_cifar", "stride on the first 1x1", strides("stage2.0.branch", 2, 1)),
    Mistake("dpn26_cifar", "groups shuffled", groups_shuffled),
    Mistake("dpn26_cifar", "an activation at the branch's end", add("stage1.1.branch.conv3.act", nn.ReLU())),
    Mistake("dpn26_cifar", "projection with activation", add("stage3.0.shortcut.act", nn.ReLU())),
    Mistake("dpn26_cifar", "no norm in the projection", away("stage3.0.shortcut.norm")),
)
