"""Deliberate mistakes, which the comparison with torchvision and timm must notice: each makes a wrong network of ours.

A mistake is made in the loaded network, or in the key table before loading.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from changes import Change, exchange, replace, setting, strides
from convatlas.architecture import KeyTables
from convatlas.architectures.bit.blocks import StandardizedConv2d
from convatlas.architectures.dpn.blocks import DualPath
from convatlas.architectures.efficientdet.pyramid import Fusion, HalvingPool
from convatlas.layers import AuxiliaryLogits, Concat, Residual, SamePadding, Scale, StochasticDepth
from convatlas.layers.auxiliary import AUXILIARY


def unchanged(network: nn.Module) -> None:
    """The mistake is elsewhere."""


@dataclass(frozen=True)
class Mutation:
    """A mistake in the network of a pair of `parity_rows`: in its modules (`apply`) or in its key table (`keys`).

    `seen_in` says which comparisons must each notice it: outputs in eval and train mode, running statistics.
    """

    pair: str
    mistake: str
    apply: Change = unchanged
    keys: Callable[[KeyTables], KeyTables] | None = None
    seen_in: tuple[str, ...] = ("eval", "train")

    @property
    def name(self) -> str:
        return f"{self.pair}-{self.mistake}"

    @property
    def architecture(self) -> str:
        return self.pair.partition("-")[0]


# ------------------------------------------------------------------------------------------------------ in a key table


def swapped_norms(keys: KeyTables) -> KeyTables:
    """The two norms of each basic block in each other's place."""
    assert not isinstance(keys, tuple)
    rest = {row: ours for row, ours in keys.items() if row != "layer{}.{}.bn{}"}
    assert len(rest) == len(keys) - 1
    swapped = {
        "layer{}.{}.bn1": "stage{}.{}.branch.conv2.norm",
        "layer{}.{}.bn2": "stage{}.{}.branch.conv1.norm",
    }
    return {**swapped, **rest}


# ------------------------------------------------------------------------------------------------------ in the modules


def activation_before_the_sum(network: nn.Module) -> None:
    block = network.get_submodule("stage2.1")
    block.get_submodule("branch").append(block.act)  # type: ignore[operator]
    block.act = nn.Identity()


def groups_shuffled(network: nn.Module) -> None:
    """Each group of filters sees the input channels of the next group."""
    conv = network.get_submodule("stage2.0.branch.conv2.conv")
    assert isinstance(conv, nn.Conv2d)
    assert conv.groups > 1
    conv.weight = nn.Parameter(conv.weight.detach().roll(conv.out_channels // conv.groups, 0))


def moved(parent: str, name: str, *, before: str) -> Change:
    """One layer of a chain in another place of the chain."""

    def mutate(network: nn.Module) -> None:
        chain = network.get_submodule(parent)
        children = dict(chain.named_children())
        layer = children.pop(name)
        for child in [name, *children]:
            delattr(chain, child)
        for child, module in children.items():
            if child == before:
                chain.add_module(name, layer)
            chain.add_module(child, module)
        assert name in dict(chain.named_children())

    return mutate


def no_biases(network: nn.Module) -> None:
    """As if a norm made them superfluous: in eval mode it does not."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.bias = None


def new_features_first(network: nn.Module) -> None:
    """The concatenation in the other order."""
    layer = network.get_submodule("block2.0")
    replace("block2.0", Concat(new=layer.get_submodule("new"), old=nn.Identity()))(network)


def branches_reordered(network: nn.Module) -> None:
    """The concatenation in the other order."""
    branches = dict(network.get_submodule("inception3b").named_children())
    replace("inception3b", Concat(**dict(reversed(branches.items()))))(network)


def head_a_stage_later(network: nn.Module) -> None:
    """After inception 4b, which has as many channels as 4a."""
    heads = network.get_submodule(AUXILIARY)
    assert isinstance(heads, nn.ModuleDict)
    heads["inception4b"] = heads.pop("inception4a")


def heads_swapped(network: nn.Module) -> None:
    """As torchvision returns them: the second one first."""

    def swap(_network: nn.Module, _images: object, output: object) -> object:
        return output._replace(auxiliary=output.auxiliary[::-1]) if isinstance(output, AuxiliaryLogits) else output

    network.register_forward_hook(swap)


class ExcitedSum(Residual):
    """Squeeze and excitation of the sum."""

    def __init__(self, block: nn.Module) -> None:
        branch = block.get_submodule("branch")
        excite = branch.get_submodule("excite")
        del branch.excite
        act = nn.Sequential(excite, block.get_submodule("act"))
        super().__init__(branch, shortcut=block.get_submodule("shortcut"), act=act)


def excitation_after_the_sum(network: nn.Module) -> None:
    replace("stage1.0", ExcitedSum(network.get_submodule("stage1.0")))(network)


class NewestFirst(DualPath):
    """The dense path with its newest features at its beginning."""

    def forward(self, features: Tensor) -> Tensor:
        learned, kept = self.branch(features), self.shortcut(features)
        residual = kept[:, : self.width] + learned[:, : self.width]
        return torch.cat([residual, learned[:, self.width :], kept[:, self.width :]], dim=1)


def newest_features_first(network: nn.Module) -> None:
    block = network.get_submodule("stage3.4")
    assert isinstance(block, DualPath)
    replace("stage3.4", NewestFirst(block.branch, width=block.width))(network)


def new_features_before_the_residual(network: nn.Module) -> None:
    """The branch's output split from the other end: the channels to join, then those to add."""
    block = network.get_submodule("stage2.2")
    conv = block.get_submodule("branch.conv3.conv")
    assert isinstance(block, DualPath)
    assert isinstance(conv, nn.Conv2d)
    conv.weight = nn.Parameter(conv.weight.detach().roll(block.width - conv.out_channels, 0))


def expansion_rectified(network: nn.Module) -> None:
    """An activation before the sum."""
    network.get_submodule("stage2.7.branch.expand").register_forward_hook(
        lambda _module, _images, output: output.relu()
    )


def pooling_pads(network: nn.Module) -> None:
    """With -inf, which never is the maximum, where BiT has zeros."""
    stem = network.get_submodule("stem")
    assert isinstance(stem.get_submodule("pad"), nn.ConstantPad2d)
    replace("pad", nn.Identity())(stem)
    replace("pool", nn.MaxPool2d(3, 2, padding=1))(stem)


def plain_convolutions(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, StandardizedConv2d):
            module.__class__ = nn.Conv2d  # type: ignore[assignment]


class SampleVariance(StandardizedConv2d):
    """Divides by n - 1."""

    def forward(self, features: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(self.weight, dim=(1, 2, 3), correction=1, keepdim=True)
        convolved: Tensor = self._conv_forward(features, (self.weight - mean) / deviation, self.bias)
        return convolved


def sample_variance(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, StandardizedConv2d):
            module.__class__ = SampleVariance


def stride_on_the_first_1x1(network: nn.Module) -> None:
    """As in the paper of the pre-activation units."""
    branch = network.get_submodule("stage2.0.paths.branch")
    for path, stride in (("conv1", 2), ("conv2.conv", 1)):
        conv = branch.get_submodule(path)
        assert isinstance(conv, nn.Conv2d)
        assert conv.stride != (stride, stride)
        conv.stride = (stride, stride)


def projection_of_the_raw_input(network: nn.Module) -> None:
    """The norm and the activation in the branch only."""
    unit = network.get_submodule("stage3.0")
    paths = unit.get_submodule("paths")
    branch = nn.Sequential(unit.get_submodule("norm"), nn.ReLU(), paths.get_submodule("branch"))
    replace("stage3.0", Residual(branch, shortcut=paths.get_submodule("shortcut")))(network)


def padding_all_around(network: nn.Module) -> None:
    """PyTorch's padding in the place of TensorFlow's; the sizes are the same."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, SamePadding):
                setattr(module, name, nn.ZeroPad2d(child.kernel // 2))


def appended(path: str, layer: nn.Module) -> Change:
    """One layer more at the end of a chain."""

    def mutate(network: nn.Module) -> None:
        chain = network.get_submodule(path)
        assert isinstance(chain, nn.Sequential)
        chain.append(layer)

    return mutate


def on_torchvision(architecture: str) -> Callable[..., Mutation]:
    """Makes mistakes in the pair with torchvision."""
    return partial(Mutation, f"{architecture}-torchvision")


resnet18, resnet50, resnext50 = map(on_torchvision, ("resnet18", "resnet50", "resnext50_32x4d"))
alexnet, vgg11, vgg11_bn, densenet121 = map(on_torchvision, ("alexnet", "vgg11", "vgg11_bn", "densenet121"))
googlenet, googlenet_aux = map(on_torchvision, ("googlenet", "googlenet_aux"))
inception_v3, inception_v3_aux = map(on_torchvision, ("inception_v3", "inception_v3_aux"))
with_transform = partial(Mutation, "googlenet-torchvision-transform")
inception_with_transform = partial(Mutation, "inception_v3-torchvision-transform")
seresnet50 = partial(Mutation, "seresnet50-timm")
inception_v4 = partial(Mutation, "inception_v4-timm")
inception_resnet_v2 = partial(Mutation, "inception_resnet_v2-timm")
dpn68 = partial(Mutation, "dpn68-timm")
bit_resnet50x1 = partial(Mutation, "bit_resnet50x1-timm")
preact_resnet50 = partial(Mutation, "preact_resnet50-timm")
ZEROS_AROUND = nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, 2))
mobilenet_v2, efficientnet_b0, efficientnet_b5 = map(
    on_torchvision, ("mobilenet_v2", "efficientnet_b0", "efficientnet_b5")
)
tf_efficientnet_b0 = partial(Mutation, "tf_efficientnet_b0-timm-odd")
lite2 = partial(Mutation, "efficientnet_lite2-lite")
efficientdet_d0 = partial(Mutation, "efficientdet_d0-effdet")
with_even_sizes = partial(Mutation, "tf_efficientnet_b0-timm-even")
AVERAGE = nn.AdaptiveAvgPool2d(1)
NOT_COUNTING = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
PADDED = nn.AvgPool2d(5, 3, padding=1)

MUTATIONS = (
    resnet18("norms swapped in the key table", keys=swapped_norms),
    resnet18("norms swapped", exchange("stage3.1.branch", "conv1.norm", "conv2.norm")),
    resnet18("blocks swapped", exchange("stage1", "0", "1")),
    resnet18("activation before the sum", activation_before_the_sum),
    resnet18("no activation after the sum", replace("stage4.1.act", nn.Identity())),
    resnet18("epsilon 1e-3", setting(nn.BatchNorm2d, "eps", 1e-3)),
    resnet18("momentum 0.01", setting(nn.BatchNorm2d, "momentum", 0.01), seen_in=("statistics",)),
    resnet18("stem's pooling rounds up", setting(nn.MaxPool2d, "ceil_mode", True)),
    resnet18("average in stem's pooling", replace("stem.pool", nn.AvgPool2d(3, 2, padding=1))),
    resnet18("padding counted in average pooling", replace("head.pool", nn.Sequential(nn.ZeroPad2d(1), AVERAGE))),
    resnet18("no norm in the shortcut", replace("stage3.0.shortcut.norm", nn.Identity())),
    resnet18("stride on the second convolution", strides("stage2.0.branch", 1, 2)),
    resnet50("stride on the first 1x1", strides("stage2.0.branch", 2, 1)),
    resnext50("groups shuffled", groups_shuffled),
    seresnet50("squeeze and excitation after the sum", excitation_after_the_sum),
    seresnet50("linear gate", replace("stage2.1.branch.excite.gate", nn.Hardsigmoid())),
    seresnet50("maximum squeezed", replace("stage3.0.branch.excite.pool", nn.AdaptiveMaxPool2d(1))),
    alexnet("dropout after the linear layers", moved("head", "dropout1", before="fc2"), seen_in=("train",)),
    vgg11("dropout before the first linear layer", moved("head", "dropout1", before="fc1"), seen_in=("train",)),
    vgg11("maximum in the head's pooling", replace("head.pool", nn.AdaptiveMaxPool2d(7))),
    vgg11_bn("no biases", no_biases, seen_in=("eval", "statistics")),
    vgg11_bn("activation before the norm", moved("stage3.conv1", "act", before="norm")),
    googlenet("branches in another order", branches_reordered),
    googlenet("epsilon 1e-5", setting(nn.BatchNorm2d, "eps", 1e-5)),
    googlenet("poolings round down", setting(nn.MaxPool2d, "ceil_mode", False)),
    googlenet("the paper's dropout", setting(nn.Dropout, "p", 0.4), seen_in=("train",)),
    with_transform("input not transformed", replace("transform", nn.Identity())),
    googlenet_aux("heads swapped", heads_swapped, seen_in=("train",)),
    googlenet_aux("first head a stage later", head_a_stage_later, seen_in=("train",)),
    googlenet_aux("no dropout in the heads", setting(nn.Dropout, "p", 0.0, within=AUXILIARY), seen_in=("train",)),
    inception_v3("row before column", exchange("stage2.1.branch_double.conv1", "row", "column")),
    inception_v3("row and column of a wide bank swapped", exchange("stage3.0.branch3x3.expand", "row", "column")),
    inception_v3("padding not counted", replace("stage1.2.branch_pool.pool", NOT_COUNTING)),
    inception_v3("maximum in the last module", replace("stage3.1.branch_pool.pool", nn.MaxPool2d(3, 1, 1))),
    inception_v3("average in a reduction", replace("reduction2.branch_pool", nn.AvgPool2d(3, 2))),
    inception_v3("stem's pooling rounds up", replace("stem.pool1", nn.MaxPool2d(3, 2, ceil_mode=True))),
    inception_v3("epsilon 1e-5", setting(nn.BatchNorm2d, "eps", 1e-5)),
    inception_v3("TF-slim's dropout", setting(nn.Dropout, "p", 0.2), seen_in=("train",)),
    inception_with_transform("input not transformed", replace("transform", nn.Identity())),
    inception_v3_aux(
        "no norm in the head", replace(f"{AUXILIARY}.stage2.conv.norm", nn.Identity()), seen_in=("train",)
    ),
    inception_v3_aux("head's pooling padded", replace(f"{AUXILIARY}.stage2.pool", PADDED), seen_in=("train",)),
    densenet121("new features first", new_features_first),
    densenet121("final norm missing", replace("norm", nn.Identity())),
    densenet121("final activation missing", replace("act", nn.Identity())),
    densenet121("maximum in a transition", replace("transition1.pool", nn.MaxPool2d(2))),
    densenet121("padding counted in a transition", replace("transition1.pool", nn.AvgPool2d(2, padding=1))),
    densenet121("a transition rounds up", replace("transition2.pool", nn.AvgPool2d(2, ceil_mode=True))),
    densenet121("activation before the norm", moved("block1.1.new.conv1", "act", before="norm")),
    dpn68("epsilon 1e-5", setting(nn.BatchNorm2d, "eps", 1e-5)),
    dpn68("ELU at the end", replace("act", nn.ELU())),
    dpn68("newest features first", newest_features_first),
    dpn68("the branch's new features before its residual", new_features_before_the_residual),
    dpn68("projection without activation", replace("stage2.0.shortcut.act", nn.Identity())),
    dpn68("norms of projection and branch swapped", exchange("stage2.0", "shortcut.norm", "branch.conv1.norm")),
    dpn68("stride on the first 1x1", strides("stage3.0.branch", 2, 1)),
    dpn68("groups shuffled", groups_shuffled),
    inception_v4("padding counted in average pooling", setting(nn.AvgPool2d, "count_include_pad", True)),
    inception_v4("epsilon 1e-5", setting(nn.BatchNorm2d, "eps", 1e-5)),
    inception_v4("column first in the stem", exchange("stem.mixed2.branch7x7.conv1", "row", "column")),
    inception_v4("filter bank in another order", exchange("stage3.1.branch_double.expand", "row", "column")),
    inception_v4("stem's pooling before its convolution", exchange("stem.mixed3", "conv", "pool")),
    inception_v4("stem padded", setting(nn.Conv2d, "padding", (1, 1), within="stem.conv2")),
    inception_v4("no dropout", setting(nn.Dropout, "p", 0.0), seen_in=("train",)),
    inception_resnet_v2("no scales", setting(Scale, "factor", 1.0)),
    inception_resnet_v2("last block scaled", setting(Scale, "factor", 0.2, within="stage3.9")),
    inception_resnet_v2("last block rectified", replace("stage3.9.act", nn.ReLU())),
    inception_resnet_v2("activation before the sum", expansion_rectified),
    inception_resnet_v2("no biases", no_biases),
    inception_resnet_v2("padding counted in average pooling", setting(nn.AvgPool2d, "count_include_pad", True)),
    inception_resnet_v2("stem's poolings round up", setting(nn.MaxPool2d, "ceil_mode", True, within="stem")),
    inception_resnet_v2("the release's momentum", setting(nn.BatchNorm2d, "momentum", 3e-4), seen_in=("statistics",)),
    bit_resnet50x1("padding of the pooling", pooling_pads),
    bit_resnet50x1("plain convolutions", plain_convolutions),
    bit_resnet50x1("sample variance", sample_variance),
    bit_resnet50x1("filters' epsilon 1e-6", setting(StandardizedConv2d, "eps", 1e-6)),
    bit_resnet50x1("16 groups", setting(nn.GroupNorm, "num_groups", 16)),
    bit_resnet50x1("norm's epsilon 1e-3", setting(nn.GroupNorm, "eps", 1e-3)),
    bit_resnet50x1("stride on the first 1x1", stride_on_the_first_1x1),
    bit_resnet50x1("projection of the raw input", projection_of_the_raw_input),
    bit_resnet50x1("final norm missing", replace("norm", nn.Identity())),
    preact_resnet50("zeros around the pooling", replace("stem.pool", ZEROS_AROUND)),
    preact_resnet50("stride on the first 1x1", stride_on_the_first_1x1),
    preact_resnet50("final activation missing", replace("act", nn.Identity())),
    mobilenet_v2("no bound of the activation", replace("stage3.1.branch.expand.act", nn.ReLU())),
    mobilenet_v2("activation after a projection", appended("stage4.1.branch.project", nn.ReLU6())),
    mobilenet_v2("norms swapped", exchange("stage2.1.branch", "expand.norm", "depthwise.norm")),
    mobilenet_v2("stride on the first 1x1", strides("stage3.0.branch", 2, 1)),
    mobilenet_v2("dropout of 0.5", setting(nn.Dropout, "p", 0.5), seen_in=("train",)),
    efficientnet_b0("ReLU in a gate", replace("stage2.0.branch.excite.act", nn.ReLU())),
    efficientnet_b0("gate before the depthwise convolution", moved("stage3.0.branch", "excite", before="depthwise")),
    efficientnet_b0("activation after a projection", appended("stage4.1.branch.project", nn.SiLU())),
    efficientnet_b0("epsilon 1e-3", setting(nn.BatchNorm2d, "eps", 1e-3)),
    efficientnet_b0("all branches skipped alike", setting(StochasticDepth, "probability", 0.2), seen_in=("train",)),
    efficientnet_b0(
        "a branch skipped without a sum", appended("stage6.0.branch", StochasticDepth(0.1)), seen_in=("train",)
    ),
    efficientnet_b0("dropout before the pooling", moved("head", "dropout", before="pool"), seen_in=("train",)),
    efficientnet_b5("epsilon 1e-5", setting(nn.BatchNorm2d, "eps", 1e-5)),
    efficientnet_b5("momentum 0.1", setting(nn.BatchNorm2d, "momentum", 0.1), seen_in=("statistics",)),
    tf_efficientnet_b0("epsilon 1e-5", setting(nn.BatchNorm2d, "eps", 1e-5)),
    tf_efficientnet_b0("momentum 0.1", setting(nn.BatchNorm2d, "momentum", 0.1), seen_in=("statistics",)),
    with_even_sizes("padding all around", padding_all_around),
    lite2("ReLU instead of ReLU6", setting(nn.ReLU6, "max_val", math.inf)),
    efficientdet_d0("pools padded all around", setting(HalvingPool, "padding", "equal")),
    efficientdet_d0("nodes of two levels swapped", exchange("cell2", "topdown4", "topdown5")),
    efficientdet_d0("norms of two levels swapped", exchange("head.boxes.norm2", "level4", "level5")),
    efficientdet_d0("softmax of the weights", setting(Fusion, "kind", "softmax")),
)
