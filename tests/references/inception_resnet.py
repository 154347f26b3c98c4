"""Plain Inception-ResNets, written out in full; they share nothing with the package."""

from __future__ import annotations

import re
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from changes import away, epsilon, exchange, replace, settings
from comparison import Mistake, Row, State
from convatlas.layers import Scale

STAGES = ("a", "b", "c")
# Figures 10, 11, 13 and 16, 17, 19: output channels of the branches' convolutions, one letter each.
V1_WIDTHS = {"a": (32, 32, 32, 32, 32, 32), "b": (128, 128, 128, 128), "c": (192, 192, 192, 192)}
V2_WIDTHS = {"a": (32, 32, 32, 32, 48, 64), "b": (192, 128, 160, 192), "c": (192, 192, 224, 256)}
# Table 1 (k, l, m, n) and figures 12 and 18.
V1_REDUCTIONS = ((192, 192, 256, 384), (256, 384, 256, 256, 256, 256, 256))
V2_REDUCTIONS = ((256, 256, 384, 384), (256, 384, 256, 288, 256, 288, 320))


class ReferenceInceptionResNet(nn.Module):
    """`form` is "v1", "facenet", "v2_paper" or "cifar_stem"; `depths` blocks A, B and C.

    Every layer is a parameter list and a line of `forward`.
    """

    def __init__(self, form: str, *, depths: tuple[int, int, int] = (2, 2, 2), num_classes: int = 10) -> None:
        super().__init__()
        self.form, self.depths = form, depths
        widths = V2_WIDTHS if form == "v2_paper" else V1_WIDTHS
        (k, l, m, n), reduction_b = V2_REDUCTIONS if form == "v2_paper" else V1_REDUCTIONS  # noqa: E741
        channels = self.stem()
        self.blocks("a", channels, widths["a"])
        self.unit("ra_3", channels, n, 3, 3)
        self.unit("ra_33_1", channels, k, 1, 1)
        self.unit("ra_33_2", k, l, 3, 3)
        self.unit("ra_33_3", l, m, 3, 3)
        channels += n + m
        self.blocks("b", channels, widths["b"])
        one, two, three, four, five, six, seven = reduction_b
        self.unit("rb_1_1", channels, one, 1, 1)
        self.unit("rb_1_2", one, two, 3, 3)
        self.unit("rb_2_1", channels, three, 1, 1)
        self.unit("rb_2_2", three, four, 3, 3)
        self.unit("rb_3_1", channels, five, 1, 1)
        self.unit("rb_3_2", five, six, 3, 3)
        self.unit("rb_3_3", six, seven, 3, 3)
        channels += two + four + seven
        self.blocks("c", channels, widths["c"])
        self.channels = channels
        if form == "facenet":
            self.embedding = nn.Linear(channels, 512, bias=False)
            self.embedding_bn = nn.BatchNorm1d(512)
            channels = 512
        self.fc = nn.Linear(self.wide(channels) if form == "cifar_stem" else channels, num_classes)

    def wide(self, channels: int) -> int:
        """Three sixteenths of the channels in the form for CIFAR."""
        return channels * 3 // 16 if self.form == "cifar_stem" else channels

    def stem(self) -> int:
        """Figures 3 and 14."""
        if self.form == "cifar_stem":
            self.unit("s1", 0, 256, 3, 3)
            return 256
        self.unit("s1", 0, 32, 3, 3)
        self.unit("s2", 32, 32, 3, 3)
        self.unit("s3", 32, 64, 3, 3)
        if self.form != "v2_paper":
            self.unit("s4", 64, 80, 1, 1)
            self.unit("s5", 80, 192, 3, 3)
            self.unit("s6", 192, 256, 3, 3)
            return 256
        self.unit("s4", 64, 96, 3, 3)
        self.unit("s5_1_1", 160, 64, 1, 1)
        self.unit("s5_1_2", 64, 96, 3, 3)
        self.unit("s5_2_1", 160, 64, 1, 1)
        self.unit("s5_2_2", 64, 64, 7, 1)
        self.unit("s5_2_3", 64, 64, 1, 7)
        self.unit("s5_2_4", 64, 96, 3, 3)
        self.unit("s6", 192, 192, 3, 3)
        return 384

    def blocks(self, stage: str, channels: int, widths: tuple[int, ...]) -> None:
        count = self.depths[STAGES.index(stage)] + (stage == "c" and self.form == "facenet")
        for index in range(count):
            name = f"{stage}{index}"
            self.unit(f"{name}_1", channels, widths[0], 1, 1)
            self.unit(f"{name}_2_1", channels, widths[1], 1, 1)
            if stage == "a":
                self.unit(f"{name}_2_2", widths[1], widths[2], 3, 3)
                self.unit(f"{name}_3_1", channels, widths[3], 1, 1)
                self.unit(f"{name}_3_2", widths[3], widths[4], 3, 3)
                self.unit(f"{name}_3_3", widths[4], widths[5], 3, 3)
                joined = widths[0] + widths[2] + widths[5]
            else:
                long = 7 if stage == "b" else 3
                self.unit(f"{name}_2_2", widths[1], widths[2], 1, long)
                self.unit(f"{name}_2_3", widths[2], widths[3], long, 1)
                joined = widths[0] + widths[3]
            self.add_module(f"{name}_up", nn.Conv2d(self.wide(joined), self.wide(channels), 1))

    def unit(self, name: str, in_channels: int, out_channels: int, rows: int, columns: int) -> None:
        """A convolution and its norm; 0 input channels are an image's three."""
        inputs = self.wide(in_channels) or 3
        self.add_module(f"{name}_conv", nn.Conv2d(inputs, self.wide(out_channels), (rows, columns), bias=False))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(self.wide(out_channels)))

    def layer(self, name: str, x: Tensor, stride: int = 1, *, valid: bool = False) -> Tensor:
        """`valid` does not pad, as the V of the figures."""
        conv, bn = getattr(self, f"{name}_conv"), getattr(self, f"{name}_bn")
        rows, columns = conv.weight.shape[2:]
        x = F.conv2d(x, conv.weight, None, stride, 0 if valid else ((rows - 1) // 2, (columns - 1) // 2))
        x = F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, self.training, 0.1, 0.001)
        return x.clamp(min=0)

    def down(self, name: str, x: Tensor) -> Tensor:
        return self.layer(name, x, 2, valid=True)

    def block(self, name: str, x: Tensor, scale: float, *, rectified: bool = True) -> Tensor:
        """The sum of the input and a scaled part of what the branches say, section 3.3."""
        branches = [self.layer(f"{name}_1", x)]
        second = self.layer(f"{name}_2_2", self.layer(f"{name}_2_1", x))
        if name[0] == "a":
            third = self.layer(f"{name}_3_3", self.layer(f"{name}_3_2", self.layer(f"{name}_3_1", x)))
            branches += [second, third]
        else:
            branches += [self.layer(f"{name}_2_3", second)]
        up = getattr(self, f"{name}_up")
        total = x + scale * F.conv2d(torch.cat(branches, 1), up.weight, up.bias)
        return total.clamp(min=0) if rectified else total

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem_of(x)
        for index in range(self.depths[0]):
            x = self.block(f"a{index}", x, 0.17)
        large = self.down("ra_33_3", self.layer("ra_33_2", self.layer("ra_33_1", x)))
        x = torch.cat([self.down("ra_3", x), large, F.max_pool2d(x, 3, 2)], 1)
        for index in range(self.depths[1]):
            x = self.block(f"b{index}", x, 0.10)
        first = self.down("rb_1_2", self.layer("rb_1_1", x))
        second = self.down("rb_2_2", self.layer("rb_2_1", x))
        third = self.down("rb_3_3", self.layer("rb_3_2", self.layer("rb_3_1", x)))
        x = torch.cat([first, second, third, F.max_pool2d(x, 3, 2)], 1)
        for index in range(self.depths[2]):
            x = self.block(f"c{index}", x, 0.20)
        if self.form == "facenet":
            x = self.block(f"c{self.depths[2]}", x, 1.0, rectified=False)
        x = F.dropout(x.mean((2, 3)), 0.6 if self.form == "facenet" else 0.2, self.training)
        if self.form == "facenet":
            bn = self.embedding_bn
            x = x @ self.embedding.weight.T
            x = F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, self.training, 0.1, 0.001)
        return self.fc(x)

    def stem_of(self, x: Tensor) -> Tensor:
        if self.form == "cifar_stem":
            return self.layer("s1", x)
        x = self.layer("s3", self.layer("s2", self.down("s1", x), valid=True))
        if self.form != "v2_paper":
            x = self.layer("s4", F.max_pool2d(x, 3, 2))
            return self.down("s6", self.layer("s5", x, valid=True))
        x = torch.cat([F.max_pool2d(x, 3, 2), self.down("s4", x)], 1)
        short = self.layer("s5_1_2", self.layer("s5_1_1", x), valid=True)
        column = self.layer("s5_2_2", self.layer("s5_2_1", x))
        x = torch.cat([short, self.layer("s5_2_4", self.layer("s5_2_3", column), valid=True)], 1)
        return torch.cat([self.down("s6", x), F.max_pool2d(x, 3, 2)], 1)


# The reference's layers in our words, the first that matches: a regular expression and the place of what follows.
PLACES = (
    (r"([abc])(\d+)_up", r"\1.\2.branch.expand"),
    (r"([abc])(\d+)_1_(conv|norm)", r"\1.\2.branch.mixed.branch1x1.\3"),
    (r"a(\d+)_2_1_(conv|norm)", r"a.\1.branch.mixed.branch3x3.reduce.\2"),
    (r"a(\d+)_2_2_(conv|norm)", r"a.\1.branch.mixed.branch3x3.conv.\2"),
    (r"a(\d+)_3_1_(conv|norm)", r"a.\1.branch.mixed.branch_double.reduce.\2"),
    (r"a(\d+)_3_2_(conv|norm)", r"a.\1.branch.mixed.branch_double.conv1.\2"),
    (r"a(\d+)_3_3_(conv|norm)", r"a.\1.branch.mixed.branch_double.conv2.\2"),
    (r"([bc])(\d+)_2_1_(conv|norm)", r"\1.\2.branch.mixed.\1_long.reduce.\3"),
    (r"([bc])(\d+)_2_2_(conv|norm)", r"\1.\2.branch.mixed.\1_long.conv.row.\3"),
    (r"([bc])(\d+)_2_3_(conv|norm)", r"\1.\2.branch.mixed.\1_long.conv.column.\3"),
    (r"ra_3_(conv|norm)", r"reduction1.branch3x3.\1"),
    (r"rb_([12])_1_(conv|norm)", r"reduction2.branch3x3_\1.reduce.\2"),
    (r"rb_([12])_2_(conv|norm)", r"reduction2.branch3x3_\1.conv.\2"),
    (r"ra_33_1_(conv|norm)", r"reduction1.branch_double.reduce.\1"),
    (r"ra_33_2_(conv|norm)", r"reduction1.branch_double.conv1.\1"),
    (r"ra_33_3_(conv|norm)", r"reduction1.branch_double.conv2.\1"),
    (r"rb_3_1_(conv|norm)", r"reduction2.branch_double.reduce.\1"),
    (r"rb_3_2_(conv|norm)", r"reduction2.branch_double.conv1.\1"),
    (r"rb_3_3_(conv|norm)", r"reduction2.branch_double.conv2.\1"),
    (r"s5_1_1_(conv|norm)", r"stem.mixed2.branch3x3.reduce.\1"),
    (r"s5_1_2_(conv|norm)", r"stem.mixed2.branch3x3.conv.\1"),
    (r"s5_2_1_(conv|norm)", r"stem.mixed2.branch7x7.reduce.\1"),
    (r"s5_2_2_(conv|norm)", r"stem.mixed2.branch7x7.conv1.column.\1"),
    (r"s5_2_3_(conv|norm)", r"stem.mixed2.branch7x7.conv1.row.\1"),
    (r"s5_2_4_(conv|norm)", r"stem.mixed2.branch7x7.conv2.\1"),
    (r"embedding_norm", r"head.norm"),
    (r"(embedding|fc)", r"head.\1"),
)
STEMS = {"cifar_stem": {"1": ""}, "v2_paper": {"4": ".mixed1.conv", "6": ".mixed3.conv"}}


def inception_resnet_names(reference: nn.Module, state: State) -> State:
    """Returns the reference's tensors under our names."""
    assert isinstance(reference, ReferenceInceptionResNet)
    result = {}
    for key, tensor in state.items():
        layer, _, kind = key.replace("_bn.", "_norm.").rpartition(".")
        stem = re.fullmatch(r"s(\d)_(conv|norm)", layer)
        if stem:
            place = f"stem{STEMS.get(reference.form, {}).get(stem[1], f'.conv{stem[1]}')}.{stem[2]}"
        else:
            place = next(re.sub(old, new, layer) for old, new in PLACES if re.fullmatch(old, layer))
        for index, stage in enumerate(STAGES, start=1):
            place = re.sub(rf"^{stage}\.", f"stage{index}.", place)
        result[f"{place}.{kind}".replace("b_long", "branch7x7").replace("c_long", "branch3x3")] = tensor
    return result


# ------------------------------------------------------------------------------------------------- rows and mistakes

FORMS = {
    "inception_resnet_v1": "v1",
    "inception_resnet_v1_facenet": "facenet",
    "inception_resnet_v1_cifar_stem": "cifar_stem",
    "inception_resnet_v2_paper": "v2_paper",
}
DEPTHS = (2, 1, 2)


def _row(name: str) -> Row:
    """As few pixels as leave 2 x 2 (3 x 3) to the last blocks, and show how the stem's pooling rounds."""
    size = 15 if name.endswith("cifar_stem") else 113
    a, b, c = DEPTHS
    depths = (a, b, c + name.endswith("facenet"))  # the linear block is one more
    reference = partial(ReferenceInceptionResNet, FORMS[name], depths=DEPTHS)
    ours = partial(convatlas.create, name, num_classes=10, depths=depths)
    return Row(name, reference, ours, inception_resnet_names, (3, size, size))


ROWS = tuple(map(_row, FORMS))


def rectified_expansion(network: nn.Module) -> None:
    network.get_submodule("stage2.0.branch.expand").register_forward_hook(lambda _layer, _input, output: output.relu())


def scaled_sum(network: nn.Module) -> None:
    """The scale on the shortcut too."""
    replace("stage1.1.shortcut", Scale(0.17))(network)


V1, FACENET, CIFAR_STEM, V2_PAPER = FORMS
MISTAKES = (
    Mistake(V1, "another epsilon", epsilon(1e-5), seen_in=("eval",)),
    Mistake(V1, "no scale", settings("stage1.0.branch.scale", factor=1.0), seen_in=("eval",)),
    Mistake(V1, "scale of another stage", settings("stage2.0.branch.scale", factor=0.2), seen_in=("eval",)),
    Mistake(V1, "scaled shortcut", scaled_sum, seen_in=("eval",)),
    Mistake(V1, "no activation after the sum", away("stage1.1.act"), seen_in=("eval",)),
    Mistake(V1, "activation before the sum", rectified_expansion, seen_in=("eval",)),
    Mistake(
        V1, "column before row", exchange("stage3.0.branch.mixed.branch3x3.conv", "row", "column"), seen_in=("eval",)
    ),
    Mistake(V1, "branches in another order", exchange("reduction2", "branch3x3_1", "branch3x3_2"), seen_in=("eval",)),
    Mistake(V1, "average pooled", replace("reduction1.branch_pool", nn.AvgPool2d(3, 2)), seen_in=("eval",)),
    Mistake(V1, "stem padded", settings("stem.conv2.conv", padding=(1, 1)), seen_in=("eval",)),
    Mistake(V1, "pooling rounds up", settings("stem.pool1", ceil_mode=True), seen_in=("eval",)),
    Mistake(V1, "more dropout", settings("head.dropout", p=0.5), seen_in=("train",)),
    Mistake(FACENET, "last block scaled", settings("stage3.2.branch.scale", factor=0.2), seen_in=("eval",)),
    Mistake(FACENET, "last block rectified", replace("stage3.2.act", nn.ReLU()), seen_in=("eval",)),
    Mistake(FACENET, "embedding not normalised", away("head.norm"), seen_in=("eval",)),
    Mistake(FACENET, "the embedding's epsilon", settings("head.norm", eps=1e-5), seen_in=("eval",)),
    Mistake(FACENET, "dropout of the paper", settings("head.dropout", p=0.2), seen_in=("train",)),
    Mistake(CIFAR_STEM, "stem of stride 2", settings("stem.conv", stride=(2, 2)), seen_in=("eval",)),
    Mistake(
        V2_PAPER, "row first in the stem", exchange("stem.mixed2.branch7x7.conv1", "row", "column"), seen_in=("eval",)
    ),
    Mistake(V2_PAPER, "pooling first", exchange("stem.mixed3", "conv", "pool"), seen_in=("eval",)),
    Mistake(V2_PAPER, "last block not scaled", settings("stage3.1.branch.scale", factor=1.0), seen_in=("eval",)),
)
