"""BiT's published files with random values, and plain forward passes; they share nothing with the package."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from comparison import Row, Written
from convatlas.weights import checkpoint_of, identify

Arrays = dict[str, np.ndarray]
State = Mapping[str, Tensor]
NORM_EPSILON = 1e-5


# ------------------------------------------------------------------------------------------------- BiT, published files


def published_shapes(
    depths: tuple[int, ...], widths: tuple[int, ...], *, stem: int, classes: int
) -> dict[str, tuple[int, ...]]:
    """The names in a published file, with the shapes of kernels as (H, W, in, out)."""
    shapes: dict[str, tuple[int, ...]] = {"resnet/root_block/standardized_conv2d/kernel": (7, 7, 3, stem)}

    def norm(prefix: str, channels: int) -> None:
        shapes[f"{prefix}group_norm/gamma"] = shapes[f"{prefix}group_norm/beta"] = (channels,)

    before = stem
    for block, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        for unit in range(1, depth + 1):
            prefix, inner = f"resnet/block{block}/unit{unit:02d}/", width // 4
            norm(f"{prefix}a/", before)
            norm(f"{prefix}b/", inner)
            norm(f"{prefix}c/", inner)
            shapes[f"{prefix}a/standardized_conv2d/kernel"] = (1, 1, before, inner)
            shapes[f"{prefix}b/standardized_conv2d/kernel"] = (3, 3, inner, inner)
            shapes[f"{prefix}c/standardized_conv2d/kernel"] = (1, 1, inner, width)
            if unit == 1:
                shapes[f"{prefix}a/proj/standardized_conv2d/kernel"] = (1, 1, before, width)
            before = width
    norm("resnet/", before)
    shapes["resnet/head/conv2d/kernel"] = (1, 1, before, classes)
    shapes["resnet/head/conv2d/bias"] = (classes,)
    return shapes


def published_arrays(
    depths: tuple[int, ...], widths: tuple[int, ...], *, stem: int, classes: int, seed: int = 0
) -> Arrays:
    """Random values of a published file, in float32."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, shape in published_shapes(depths, widths, stem=stem, classes=classes).items():
        if name.endswith("gamma"):
            values = generator.uniform(0.5, 1.5, shape)
        elif name.endswith("kernel"):
            values = generator.standard_normal(shape, dtype=np.float32) * np.prod(shape[:3]) ** -0.5 + 0.01
        else:
            values = generator.uniform(-0.5, 0.5, shape)
        arrays[name] = values.astype(np.float32)
    return arrays


def standardized(kernel: Tensor, *, epsilon: float = 1e-10) -> Tensor:
    """Returns each filter of (H, W, in, out) with mean 0 and variance 1, as (out, in, H, W)."""
    filters = []
    for index in range(kernel.shape[-1]):
        values = kernel[..., index]
        values = values - values.sum() / values.numel()
        filters.append(values / ((values**2).sum() / values.numel() + epsilon).sqrt())
    return torch.stack(filters).permute(0, 3, 1, 2)


def group_norm(features: Tensor, gamma: Tensor, beta: Tensor, *, groups: int) -> Tensor:
    """Mean 0 and variance 1 of each image's groups of channels, then ReLU of what gamma and beta make of it."""
    count, channels, height, width = features.shape
    grouped = features.reshape(count, groups, -1)
    grouped = grouped - grouped.mean(2, keepdim=True)
    grouped = grouped / (grouped.square().mean(2, keepdim=True) + NORM_EPSILON).sqrt()
    scale, shift = (each.reshape(1, channels, 1, 1) for each in (gamma, beta))
    return (grouped.reshape(count, channels, height, width) * scale + shift).clamp(min=0)


def bit_logits(tensors: State, images: Tensor, *, groups: int, train: bool = False) -> Tensor:
    """The network of a published file: (N, 3, H, W) -> (N, classes). It works alike in training."""

    def conv(features: Tensor, prefix: str, *, stride: int = 1) -> Tensor:
        kernel = standardized(tensors[f"{prefix}standardized_conv2d/kernel"])
        return F.conv2d(features, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def activated(features: Tensor, prefix: str) -> Tensor:
        gamma, beta = (tensors[f"{prefix}group_norm/{name}"] for name in ("gamma", "beta"))
        return group_norm(features, gamma, beta, groups=groups)

    features = F.pad(conv(images, "resnet/root_block/", stride=2), (1, 1, 1, 1))
    features = F.max_pool2d(features, 3, 2)
    units = sorted({tuple(name.split("/")[1:3]) for name in tensors if "/unit" in name})
    for block, unit in units:
        prefix = f"resnet/{block}/{unit}/"
        stride = 2 if unit == "unit01" and block != "block1" else 1
        first = activated(features, f"{prefix}a/")
        if f"{prefix}a/proj/standardized_conv2d/kernel" in tensors:
            features = conv(first, f"{prefix}a/proj/", stride=stride)
        inner = activated(conv(first, f"{prefix}a/"), f"{prefix}b/")
        inner = activated(conv(inner, f"{prefix}b/", stride=stride), f"{prefix}c/")
        features = features + conv(inner, f"{prefix}c/")
    pooled = activated(features, "resnet/").mean((2, 3))
    return pooled @ tensors["resnet/head/conv2d/kernel"][0, 0] + tensors["resnet/head/conv2d/bias"]


def exact(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Returns the arrays as tensors in float64."""
    return {name: torch.from_numpy(array).double() for name, array in arrays.items()}


def released_names(tensors: State) -> dict[str, Tensor]:
    """Returns the same network in the names of the released PyTorch code."""
    state = {}
    for name, tensor in tensors.items():
        kind = "bias" if name.endswith(("bias", "beta")) else "weight"
        parts = name.split("/")
        if parts[1] == "root_block":
            key = "root.conv"
        elif parts[1] == "group_norm":
            key = "head.gn"
        elif parts[1] == "head":
            key = "head.conv"
        else:
            number = "abc".index(parts[3]) + 1
            layer = f"gn{number}" if "group_norm" in name else f"conv{number}"
            key = f"body.{parts[1]}.{parts[2]}.{'downsample' if 'proj' in parts else layer}"
        state[f"{key}.{kind}"] = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
    return state


# ------------------------------------------------------------------------------ pre-activation ResNet-18 of kuangliu's


def kuangliu_state(*, classes: int = 10, seed: int = 0) -> dict[str, Tensor]:
    """Random values under kuangliu's names, for 2 units of 64, 128, 256 and 512 channels in each stage."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def weight(name: str, *shape: int) -> None:
        fan = torch.Size(shape[1:]).numel()
        state[f"{name}.weight"] = torch.randn(*shape, generator=generator) * (1.5 / fan) ** 0.5

    def norm(name: str, channels: int) -> None:
        for kind, low, high in (("weight", 0.5, 1.5), ("bias", -0.5, 0.5), ("running_mean", -0.5, 0.5)):
            state[f"{name}.{kind}"] = torch.empty(channels).uniform_(low, high, generator=generator)
        state[f"{name}.running_var"] = torch.empty(channels).uniform_(0.5, 1.5, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    weight("conv1", 64, 3, 3, 3)
    before = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for unit in range(2):
            prefix = f"layer{stage}.{unit}"
            norm(f"{prefix}.bn1", before)
            weight(f"{prefix}.conv1", width, before, 3, 3)
            norm(f"{prefix}.bn2", width)
            weight(f"{prefix}.conv2", width, width, 3, 3)
            if before != width:
                weight(f"{prefix}.shortcut.0", width, before, 1, 1)
            before = width
    weight("linear", classes, 512)
    state["linear.bias"] = torch.randn(classes, generator=generator)
    return state


def kuangliu_logits(state: State, images: Tensor, *, train: bool) -> Tensor:
    """The network in float64: (N, 3, 32, 32) -> (N, classes)."""
    values = {key: tensor.double() for key, tensor in state.items()}

    def activated(features: Tensor, name: str) -> Tensor:
        mean, variance = values[f"{name}.running_mean"], values[f"{name}.running_var"]
        if train:
            mean, variance = features.mean((0, 2, 3)), features.var((0, 2, 3), correction=0)
        mean, scale, shift, variance = (
            each[:, None, None] for each in (mean, values[f"{name}.weight"], values[f"{name}.bias"], variance)
        )
        return ((features - mean) / (variance + NORM_EPSILON).sqrt() * scale + shift).clamp(min=0)

    features = F.conv2d(images, values["conv1.weight"], padding=1)
    for stage in range(1, 5):
        for unit in range(2):
            prefix = f"layer{stage}.{unit}"
            stride = 2 if stage > 1 and unit == 0 else 1
            first = activated(features, f"{prefix}.bn1")
            if f"{prefix}.shortcut.0.weight" in values:
                features = F.conv2d(first, values[f"{prefix}.shortcut.0.weight"], stride=stride)
            inner = F.conv2d(first, values[f"{prefix}.conv1.weight"], stride=stride, padding=1)
            inner = activated(inner, f"{prefix}.bn2")
            features = features + F.conv2d(inner, values[f"{prefix}.conv2.weight"], padding=1)
    return features.mean((2, 3)) @ values["linear.weight"].T + values["linear.bias"]


# --------------------------------------------------------------------------------------------------------------- rows

# A thin network with the names of the published ones; ten units in a stage, whose numbers have two digits.
DEPTHS, WIDTHS, STEM, GROUPS, CLASSES = (2, 10, 2, 2), (32, 64, 64, 96), 16, 8, 7
OPTIONS = {"depths": DEPTHS, "widths": WIDTHS, "stem_channels": STEM, "groups": GROUPS}


def published() -> Written:
    arrays = published_arrays(DEPTHS, WIDTHS, stem=STEM, classes=CLASSES)
    return Written(exact(arrays), partial(bit_logits, groups=GROUPS))


def by_the_release(_: nn.Module, state: State) -> dict[str, Tensor]:
    """Returns our names, found through those of the released code."""
    return identify(checkpoint_of(released_names(state)), arch="bit_resnet50x1", options=OPTIONS).state


ROWS = (
    Row(
        "bit_resnet50x1",
        published,
        partial(convatlas.create, "bit_resnet50x1", num_classes=CLASSES, **OPTIONS),
        by_the_release,
        (3, 40, 40),  # they become 20, 10, 5, 3 and 2
        sights=("eval", "train", "gradients"),  # group norms remember nothing
    ),
    Row(
        "preact_resnet18_cifar",
        lambda: Written(kuangliu_state(), kuangliu_logits),
        partial(convatlas.create, "preact_resnet18_cifar"),
        lambda _, state: identify(checkpoint_of({"net": state}), arch="preact_resnet18_cifar").state,
        (3, 32, 32),
        sights=("eval", "train", "gradients"),  # the reference remembers nothing
    ),
)
MISTAKES = ()
