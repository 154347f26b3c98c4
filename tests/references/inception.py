"""Plain Inception networks, written out in full; they share nothing with the package."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from changes import epsilon, reorder, replace
from comparison import Mistake, Row, State
from convatlas.architectures import architecture
from convatlas.weights import translate_keys

# The batch norm paper's figure 5 as released in Caffe: input channels, 1x1, 3x3 reduce, 3x3, double 3x3 reduce,
# double 3x3, projection of the pooling; without 1x1 and projection the strides are 2.
FIGURE_5 = {
    "3a": (192, 64, 64, 64, 64, 96, 32),
    "3b": (256, 64, 64, 96, 64, 96, 64),
    "3c": (320, 0, 128, 160, 64, 96, 0),
    "4a": (576, 224, 64, 96, 96, 128, 128),
    "4b": (576, 192, 96, 128, 96, 128, 128),
    "4c": (576, 160, 128, 160, 128, 160, 128),
    "4d": (608, 96, 128, 192, 160, 192, 128),
    "4e": (608, 0, 128, 192, 192, 256, 0),
    "5a": (1056, 352, 192, 320, 160, 224, 128),
    "5b": (1024, 352, 192, 320, 192, 224, 128),
}


class ReferenceBNInception(nn.Module):
    """The names of Cadene's port: `inception_3a_double_3x3_1`, `inception_3a_double_3x3_1_bn`, `last_linear` ..."""

    def __init__(self, *, num_classes: int = 10) -> None:
        super().__init__()
        self.conv("conv1_7x7_s2", 3, 64, 7)
        self.conv("conv2_3x3_reduce", 64, 64, 1)
        self.conv("conv2_3x3", 64, 192, 3)
        for row, (inputs, one, reduce, three, reduce_double, double, projection) in FIGURE_5.items():
            start = f"inception_{row}"
            if one:
                self.conv(f"{start}_1x1", inputs, one, 1)
            self.conv(f"{start}_3x3_reduce", inputs, reduce, 1)
            self.conv(f"{start}_3x3", reduce, three, 3)
            self.conv(f"{start}_double_3x3_reduce", inputs, reduce_double, 1)
            self.conv(f"{start}_double_3x3_1", reduce_double, double, 3)
            self.conv(f"{start}_double_3x3_2", double, double, 3)
            if projection:
                self.conv(f"{start}_pool_proj", inputs, projection, 1)
        self.last_linear = nn.Linear(1024, num_classes)

    def conv(self, name: str, in_channels: int, out_channels: int, kernel: int) -> None:
        self.add_module(name, nn.Conv2d(in_channels, out_channels, kernel))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(out_channels))

    def layer(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        conv, bn = getattr(self, name), getattr(self, f"{name}_bn")
        x = F.conv2d(x, conv.weight, conv.bias, stride, conv.weight.shape[-1] // 2)
        return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, self.training, 0.1, 1e-5).clamp(0)

    def pool(self, x: Tensor) -> Tensor:
        """Rounds up: of an even number of pixels the last windows have one column, and one row, less."""
        more = (1 - x.shape[-1] % 2) * 1
        return F.max_pool2d(F.pad(x, (0, more, 0, more), value=-1e30), 3, 2)

    def module_of_figure(self, row: str, x: Tensor) -> Tensor:
        start, passes = f"inception_{row}", row in ("3c", "4e")
        stride = 2 if passes else 1
        three = self.layer(f"{start}_3x3", self.layer(f"{start}_3x3_reduce", x), stride)
        double = self.layer(f"{start}_double_3x3_1", self.layer(f"{start}_double_3x3_reduce", x))
        double = self.layer(f"{start}_double_3x3_2", double, stride)
        if passes:
            return torch.cat([three, double, self.pool(x)], 1)
        pooled = F.max_pool2d(x, 3, 1, 1) if row == "5b" else average(x)
        return torch.cat([self.layer(f"{start}_1x1", x), three, double, self.layer(f"{start}_pool_proj", pooled)], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.layer("conv1_7x7_s2", x, 2))
        x = self.pool(self.layer("conv2_3x3", self.layer("conv2_3x3_reduce", x)))
        for row in FIGURE_5:
            x = self.module_of_figure(row, x)
        return self.last_linear(x.mean((2, 3)))


def average(x: Tensor) -> Tensor:
    """Of 3x3 pixels, where those around the image are zeros and count."""
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1))
    return sum(padded[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9


# Of Inception-v2 (table 1 of its paper) and of the small v3: channels before the fine modules; rows of fine modules
# (1x1, reduce, 3x3 or 5x5, double reduce, double, projection); first reduction (3x3, double reduce, double); middle
# modules (inside, after); second reduction (reduce, 3x3); rows of coarse modules, as fine ones.
COARSE = (320, 384, 384, 448, 384, 192)
WIDTHS = {
    "v2": (
        288,
        [(64, 48, 64, 64, 96, 64)] * 3,
        (384, 64, 96),
        [(128, 192), (160, 192), (160, 192), (160, 192), (192, 192)],
        (192, 320),
        [COARSE, COARSE],
    ),
    "small": (
        36,
        [(12, 9, 12, 12, 18, 8), (12, 9, 12, 12, 18, 12)],
        (72, 12, 18),
        [(24, 36), (30, 36), (30, 36)],
        (36, 60),
        [(60, 72, 72, 84, 72, 36)],
    ),
}
ROW, COLUMN = (1, 7), (7, 1)


class ReferenceInception(nn.Module):
    """`form` is "v2" or "small"; the layers' names are a module and a number."""

    def __init__(self, form: str, *, num_classes: int = 10) -> None:
        super().__init__()
        self.form = form
        channels, fine, first, middle, second, coarse = WIDTHS[form]
        if form == "small":
            self.convs("stem", [(3, channels, 3)])
        else:
            begin = [(3, 32, 3), (32, 32, 3), (32, 64, 3)]
            self.convs("stem", [*begin, (64, 80, 3), (80, 192, 3), (192, channels, 3)])
        for i, (one, reduce, single, reduce_double, double, projection) in enumerate(fine):
            kernel = 3 if form == "v2" else 5
            self.convs(f"a{i}one", [(channels, one, 1)])
            self.convs(f"a{i}single", [(channels, reduce, 1), (reduce, single, kernel)])
            self.convs(f"a{i}double", [(channels, reduce_double, 1), (reduce_double, double, 3), (double, double, 3)])
            self.convs(f"a{i}pool", [(channels, projection, 1)])
            channels = one + single + double + projection
        single, reduce, double = first
        self.convs("r1single", [(channels, single, 3)])
        self.convs("r1double", [(channels, reduce, 1), (reduce, double, 3), (double, double, 3)])
        channels += single + double
        for i, (c, out) in enumerate(middle):
            kernels = (ROW, COLUMN) if form == "v2" else (COLUMN, ROW)
            self.convs(f"b{i}one", [(channels, out, 1)])
            self.convs(f"b{i}single", [(channels, c, 1), (c, c, ROW), (c, out, COLUMN)])
            four = [(c, c, kernels[0]), (c, c, kernels[1]), (c, c, kernels[0]), (c, out, kernels[1])]
            self.convs(f"b{i}double", [(channels, c, 1), *four])
            self.convs(f"b{i}pool", [(channels, out, 1)])
            channels = 4 * out
        reduce, out = second
        self.convs("r2single", [(channels, reduce, 1), (reduce, out, 3)])
        between = [(reduce, reduce, 3)] if form == "v2" else [(reduce, reduce, ROW), (reduce, reduce, COLUMN)]
        self.convs("r2double", [(channels, reduce, 1), *between, (reduce, reduce, 3)])
        channels += reduce + out
        for i, (one, reduce, single, reduce_double, double, projection) in enumerate(coarse):
            self.convs(f"c{i}one", [(channels, one, 1)])
            self.convs(f"c{i}single", [(channels, reduce, 1), (reduce, single, (1, 3)), (reduce, single, (3, 1))])
            wide = [(double, double, (1, 3)), (double, double, (3, 1))]
            self.convs(f"c{i}double", [(channels, reduce_double, 1), (reduce_double, double, 3), *wide])
            self.convs(f"c{i}pool", [(channels, projection, 1)])
            channels = one + 2 * single + 2 * double + projection
        self.counts = (len(fine), len(middle), len(coarse))
        self.linear = nn.Linear(channels, num_classes)

    def convs(self, name: str, layers: list) -> None:
        for i, (in_channels, out_channels, kernel) in enumerate(layers):
            self.add_module(f"{name}_{i}", nn.Conv2d(in_channels, out_channels, kernel, bias=False))
            self.add_module(f"{name}_{i}_bn", nn.BatchNorm2d(out_channels))

    def layer(self, name: str, x: Tensor, *, stride: int = 1, same: bool = True) -> Tensor:
        conv, bn = getattr(self, name), getattr(self, f"{name}_bn")
        rows, columns = conv.weight.shape[2:]
        if same:
            x = F.pad(x, (columns // 2, columns // 2, rows // 2, rows // 2))
        x = F.conv2d(x, conv.weight, stride=stride)
        return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, self.training, 0.1, 0.001).clamp(0)

    def chain(self, name: str, x: Tensor, count: int) -> Tensor:
        for i in range(count):
            x = self.layer(f"{name}_{i}", x)
        return x

    def reduced(self, name: str, x: Tensor, count: int) -> Tensor:
        """A chain whose last convolution halves the grid without padding."""
        return self.layer(f"{name}_{count - 1}", self.chain(name, x, count - 1), stride=2, same=False)

    def wide(self, name: str, x: Tensor, count: int) -> list[Tensor]:
        x = self.chain(name, x, count)
        return [self.layer(f"{name}_{count}", x), self.layer(f"{name}_{count + 1}", x)]

    def first_layers(self, x: Tensor) -> Tensor:
        if self.form == "small":
            return self.layer("stem_0", x)
        x = self.layer("stem_1", self.layer("stem_0", x, stride=2, same=False), same=False)
        x = F.max_pool2d(self.layer("stem_2", x), 3, 2)
        x = self.layer("stem_4", self.layer("stem_3", x, same=False), stride=2, same=False)
        return self.layer("stem_5", x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first_layers(x)
        for kind, count, single, double in (("a", self.counts[0], 2, 3), ("b", self.counts[1], 3, 5)):
            for i in range(count):
                m = f"{kind}{i}"
                branches = [self.chain(f"{m}one", x, 1), self.chain(f"{m}single", x, single)]
                x = torch.cat(
                    [*branches, self.chain(f"{m}double", x, double), self.chain(f"{m}pool", average(x), 1)], 1
                )
            r, counts = ("r1", (1, 3)) if kind == "a" else ("r2", (2, 3 if self.form == "v2" else 4))
            branches = [self.reduced(f"{r}single", x, counts[0]), self.reduced(f"{r}double", x, counts[1])]
            x = torch.cat([*branches, F.max_pool2d(x, 3, 2)], 1)
        for i in range(self.counts[2]):
            single, double = self.wide(f"c{i}single", x, 1), self.wide(f"c{i}double", x, 2)
            x = torch.cat([self.layer(f"c{i}one_0", x), *single, *double, self.layer(f"c{i}pool_0", average(x))], 1)
        return self.linear(x.mean((2, 3)))


def inception_names(reference: nn.Module, state: State) -> State:
    """Returns the reference's tensors under our names, by a table of their parts."""
    assert isinstance(reference, ReferenceInception)
    v2 = reference.form == "v2"
    first, second = ("row", "column") if v2 else ("column", "row")
    places = {f"stem_{i}": f"stem.conv{i + 1}" for i in range(6)} if v2 else {"stem_0": "stem"}
    places |= {"r1single_0": "reduction1.branch3x3"}
    places |= {
        f"r1double_{i}": f"reduction1.branch_double.{part}" for i, part in enumerate(("reduce", "conv1", "conv2"))
    }
    places |= {"r2single_0": "reduction2.branch3x3.reduce", "r2single_1": "reduction2.branch3x3.conv"}
    parts = (
        ("branch_double.reduce", "branch_double.conv1", "branch_double.conv2")
        if v2
        else ("branch7x7.reduce", "branch7x7.conv1.row", "branch7x7.conv1.column", "branch7x7.conv2")
    )
    places |= {f"r2double_{i}": f"reduction2.{part}" for i, part in enumerate(parts)}
    single = "branch3x3" if v2 else "branch5x5"
    modules = {
        "a": {
            "single": (f"{single}.reduce", f"{single}.conv"),
            "double": ("branch_double.reduce", "branch_double.conv1", "branch_double.conv2"),
        },
        "b": {
            "single": ("branch7x7.reduce", "branch7x7.conv.row", "branch7x7.conv.column"),
            "double": (
                "branch_double.reduce",
                f"branch_double.conv1.{first}",
                f"branch_double.conv1.{second}",
                f"branch_double.conv2.{first}",
                f"branch_double.conv2.{second}",
            ),
        },
        "c": {
            "single": ("branch3x3.reduce", "branch3x3.expand.row", "branch3x3.expand.column"),
            "double": (
                "branch_double.reduce",
                "branch_double.conv",
                "branch_double.expand.row",
                "branch_double.expand.column",
            ),
        },
    }
    for stage, (kind, count) in enumerate(zip("abc", reference.counts, strict=True), start=1):
        for i in range(count):
            branches = {**modules[kind], "one": ("branch1x1",), "pool": ("branch_pool.projection",)}
            for branch, layers in branches.items():
                places |= {f"{kind}{i}{branch}_{j}": f"stage{stage}.{i}.{layer}" for j, layer in enumerate(layers)}
    result = {}
    for key, tensor in state.items():
        layer, _, kind = key.rpartition(".")
        part = "norm" if layer.endswith("_bn") else "conv"
        place = "head.fc" if layer == "linear" else f"{places[layer.removesuffix('_bn')]}.{part}"
        result[f"{place}.{kind}"] = tensor
    return result


def auxiliary_logits(state: State, x: Tensor, *, norm: str, train: bool) -> Tensor:
    """The auxiliary head with these tensors: average of 5x5 pixels every 3, 1x1, 5x5 without padding, linear."""
    windows = [x[:, :, i : i + 5, j : j + 5].mean((2, 3)) for i in range(0, 13, 3) for j in range(0, 13, 3)]
    x = torch.stack(windows, 2).view(len(x), -1, 5, 5)
    for name in ("reduce", "conv"):
        x = F.conv2d(x, state[f"{name}.conv.weight"], state.get(f"{name}.conv.bias"))
        if norm == "batch":
            mean, var = (state[f"{name}.norm.running_{kind}"] for kind in ("mean", "var"))
            if train:
                mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            scale = state[f"{name}.norm.weight"] / (var + 0.001).sqrt()
            shift = state[f"{name}.norm.bias"] - mean * scale
            x = x * scale[:, None, None] + shift[:, None, None]
        x = x.clamp(0)
    return x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]


# ------------------------------------------------------------------------------------------------- rows and mistakes

# Few pixels, and such that the ways to round and to pad differ.
ROWS = (
    Row(
        "bn_inception",
        ReferenceBNInception,
        partial(convatlas.create, "bn_inception", num_classes=10),
        lambda _, state: translate_keys(state, architecture("bn_inception").layouts["cadene"]),
        (3, 64, 64),
    ),
    *(
        Row(
            name,
            partial(ReferenceInception, form),
            partial(convatlas.create, name, num_classes=10),
            inception_names,
            (3, size, size),
        )
        for name, form, size in (("inception_v2", "v2", 81), ("inception_v3_cifar_stem", "small", 29))
    ),
)


def no_biases(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.bias = None


NOT_COUNTING = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)


NOT_COUNTING = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
MISTAKES = (
    Mistake(
        "bn_inception",
        "sizes rounded by padding",
        replace("stem.pool1", nn.MaxPool2d(3, 2, padding=1)),
        seen_in=("eval",),
    ),
    Mistake("bn_inception", "no biases", no_biases, seen_in=("eval",)),
    Mistake("bn_inception", "epsilon of the others", epsilon(1e-3), seen_in=("eval",)),
    Mistake(
        "bn_inception",
        "average in the last module",
        replace("inception5b.branch_pool.pool", nn.AvgPool2d(3, 1, 1)),
        seen_in=("eval",),
    ),
    Mistake("bn_inception", "pooling first", reorder("inception4e", "branch3x3", "branch_pool"), seen_in=("eval",)),
    Mistake(
        "inception_v2",
        "row and column swapped",
        reorder("stage2.4.branch_double.conv2", "row", "column"),
        seen_in=("eval",),
    ),
    Mistake(
        "inception_v2",
        "order in a wide bank",
        reorder("stage3.1.branch_double.expand", "row", "column"),
        seen_in=("eval",),
    ),
    Mistake(
        "inception_v2", "padding not counted", replace("stage2.0.branch_pool.pool", NOT_COUNTING), seen_in=("eval",)
    ),
    Mistake("inception_v2", "epsilon", epsilon(1e-5), seen_in=("eval",)),
    Mistake(
        "inception_v2",
        "stem's sizes rounded up",
        replace("stem.pool", nn.MaxPool2d(3, 2, ceil_mode=True)),
        seen_in=("eval",),
    ),
    Mistake(
        "inception_v3_cifar_stem",
        "row and column swapped",
        reorder("stage2.2.branch_double.conv1", "row", "column"),
        seen_in=("eval",),
    ),
    Mistake(
        "inception_v3_cifar_stem",
        "average in a reduction",
        replace("reduction2.branch_pool", nn.AvgPool2d(3, 2)),
        seen_in=("eval",),
    ),
)
