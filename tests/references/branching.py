"""Plain GoogLeNets and DenseNets, written out in full; they share nothing with the package."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from changes import away, epsilon, reorder, replace
from comparison import Mistake, Row, State
from convatlas.architectures.densenet.imagenet import densenet
from convatlas.architectures.densenet.teaching import densenet_textbook
from convatlas.layers import Concat

# Table 1 of the GoogLeNet paper: input channels, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
TABLE_1 = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


class ReferenceGoogLeNet(nn.Module):
    """Caffe's layer names; `form` is "original", "published", "textbook" or "kuangliu", `heads` adds the classifiers.

    Every layer is a parameter list and a line of `forward`.
    """

    def __init__(self, form: str, *, num_classes: int = 10, heads: bool = False) -> None:
        super().__init__()
        self.form = form
        five = 3 if form in ("published", "kuangliu") else 5
        if form == "kuangliu":
            self.conv("conv1", 3, 192, 3)
        else:
            self.conv("conv1", 3, 64, 7)
            self.conv("conv2_reduce", 64, 64, 1)
            self.conv("conv2", 64, 192, 3)
        for row, (inputs, one, reduce3, three, reduce5, width5, projection) in TABLE_1.items():
            self.conv(f"{row}_1x1", inputs, one, 1)
            self.conv(f"{row}_3x3_reduce", inputs, reduce3, 1)
            self.conv(f"{row}_3x3", reduce3, three, 3)
            self.conv(f"{row}_5x5_reduce", inputs, reduce5, 1)
            self.conv(f"{row}_5x5", reduce5, width5, five)
            if form == "kuangliu":
                self.conv(f"{row}_5x5_again", width5, width5, 3)
            self.conv(f"{row}_pool_proj", inputs, projection, 1)
        for loss, width in {"loss1": 512, "loss2": 528}.items() if heads else ():
            self.conv(f"{loss}_conv", width, 128, 1)
            self.add_module(f"{loss}_fc", nn.Linear(2048, 1024))
            self.add_module(f"{loss}_classifier", nn.Linear(1024, num_classes))
        self.heads = heads
        self.classifier = nn.Linear(1024, num_classes)

    def conv(self, name: str, in_channels: int, out_channels: int, kernel: int) -> None:
        self.add_module(name, nn.Conv2d(in_channels, out_channels, kernel, bias=self.form != "published"))
        if self.form in ("published", "kuangliu"):
            self.add_module(f"{name}_bn", nn.BatchNorm2d(out_channels))

    def layer(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        conv = getattr(self, name)
        x = F.conv2d(x, conv.weight, conv.bias, stride, conv.weight.shape[-1] // 2)
        if self.form in ("published", "kuangliu"):
            bn = getattr(self, f"{name}_bn")
            eps = 0.001 if self.form == "published" else 1e-5
            x = F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, self.training, 0.1, eps)
        return x.clamp(min=0)

    def module_of_table(self, row: str, x: Tensor) -> Tensor:
        large = self.layer(f"{row}_5x5", self.layer(f"{row}_5x5_reduce", x))
        if self.form == "kuangliu":
            large = self.layer(f"{row}_5x5_again", large)
        pooled = F.max_pool2d(x, 3, 1, 1)
        branches = [
            self.layer(f"{row}_1x1", x),
            self.layer(f"{row}_3x3", self.layer(f"{row}_3x3_reduce", x)),
            large,
            self.layer(f"{row}_pool_proj", pooled),
        ]
        return torch.cat(branches, 1)

    def pool(self, x: Tensor) -> Tensor:
        """Sizes rounded up as Caffe does, by padding below and on the right with what no maximum is."""
        if self.form in ("textbook", "kuangliu"):
            return F.max_pool2d(x, 3, 2, 1)
        size = x.shape[-1]
        missing = 2 * math.ceil((size - 3) / 2) + 3 - size
        return F.max_pool2d(F.pad(x, (0, missing, 0, missing), value=-1e30), 3, 2)

    def norm(self, x: Tensor) -> Tensor:
        """Local response norm over five channels, by its formula."""
        if self.form != "original":
            return x
        squares = F.pad(x.square(), (0, 0, 0, 0, 2, 2))
        total = sum(squares[:, i : i + x.shape[1]] for i in range(5))
        return x / (1 + 1e-4 / 5 * total) ** 0.75

    def loss(self, name: str, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 5, 3) if self.form == "original" else F.adaptive_avg_pool2d(x, 4)
        x = self.layer(f"{name}_conv", x).flatten(1)
        x = getattr(self, f"{name}_fc")(x).clamp(min=0)
        return getattr(self, f"{name}_classifier")(F.dropout(x, 0.7, self.training))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        losses = []
        if self.form == "kuangliu":
            x = self.layer("conv1", x)
        else:
            x = self.norm(self.pool(self.layer("conv1", x, 2)))
            x = self.pool(self.norm(self.layer("conv2", self.layer("conv2_reduce", x))))
        for row in TABLE_1:
            if row == "4a":
                x = self.pool(x)
            if row == "5a":
                x = F.max_pool2d(x, 2, 2, ceil_mode=True) if self.form == "published" else self.pool(x)
            x = self.module_of_table(row, x)
            if self.heads and self.training and row in ("4a", "4d"):
                losses.append(self.loss("loss1" if row == "4a" else "loss2", x))
        x = F.dropout(x.mean((2, 3)), {"original": 0.4, "published": 0.2}.get(self.form, 0.0), self.training)
        return (self.classifier(x), *losses)


def googlenet_names(reference: nn.Module, state: State) -> State:
    """Returns the reference's tensors under our names, by a table of their parts."""
    assert isinstance(reference, ReferenceGoogLeNet)
    places = {
        "conv1": "stem" if reference.form == "kuangliu" else "stem.conv1",
        "conv2_reduce": "stem.reduce",
        "conv2": "stem.conv2",
        "loss1_conv": "auxiliary.inception4a.conv",
        "loss2_conv": "auxiliary.inception4d.conv",
    }
    kuangliu = reference.form == "kuangliu"
    for row in TABLE_1:
        places[f"{row}_1x1"] = f"inception{row}.branch1x1"
        places[f"{row}_3x3_reduce"] = f"inception{row}.branch3x3.reduce"
        places[f"{row}_3x3"] = f"inception{row}.branch3x3.conv"
        places[f"{row}_5x5_reduce"] = f"inception{row}.branch5x5.reduce"
        places[f"{row}_5x5"] = f"inception{row}.branch5x5.conv" + (".conv1" if kuangliu else "")
        places[f"{row}_5x5_again"] = f"inception{row}.branch5x5.conv.conv2"
        places[f"{row}_pool_proj"] = f"inception{row}.branch_pool.projection"
    linear = {
        "classifier": "head.fc",
        "loss1_fc": "auxiliary.inception4a.fc1",
        "loss1_classifier": "auxiliary.inception4a.fc",
        "loss2_fc": "auxiliary.inception4d.fc1",
        "loss2_classifier": "auxiliary.inception4d.fc",
    }
    result = {}
    for key, tensor in state.items():
        layer, _, kind = key.rpartition(".")
        norm = layer.endswith("_bn")
        place = linear.get(layer) or f"{places[layer.removesuffix('_bn')]}.{'norm' if norm else 'conv'}"
        result[f"{place}.{kind}"] = tensor
    return result


class ReferenceDenseNet(nn.Module):
    """Two dense blocks of two layers; `form` is "imagenet", "textbook" or "kuangliu"."""

    def __init__(self, form: str, *, growth_rate: int = 8) -> None:
        super().__init__()
        self.form = form
        bias, channels = form == "textbook", 16
        self.conv0 = nn.Conv2d(3, channels, 3 if form == "kuangliu" else 7, bias=bias)
        self.norm0 = nn.BatchNorm2d(channels)
        for block in (1, 2):
            for layer in (1, 2):
                if form == "textbook":
                    self.unit(f"{block}{layer}a", channels, growth_rate, 3)
                else:
                    self.unit(f"{block}{layer}a", channels, 4 * growth_rate, 1)
                    self.unit(f"{block}{layer}b", 4 * growth_rate, growth_rate, 3)
                channels += growth_rate
            if block == 1:
                self.unit("between", channels, channels // 2, 1)
                channels //= 2
        self.norm9 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, 10)

    def unit(self, name: str, in_channels: int, out_channels: int, kernel: int) -> None:
        self.add_module(f"norm{name}", nn.BatchNorm2d(in_channels))
        self.add_module(f"conv{name}", nn.Conv2d(in_channels, out_channels, kernel, bias=self.form == "textbook"))

    def norm(self, name: str, x: Tensor) -> Tensor:
        bn = getattr(self, f"norm{name}")
        x = F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, self.training, 0.1, 1e-5)
        return x.clamp(min=0)

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        conv = getattr(self, f"conv{name}")
        return F.conv2d(x, conv.weight, conv.bias, stride, conv.weight.shape[-1] // 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "kuangliu":
            x = self.conv("0", x)
        else:
            x = F.max_pool2d(self.norm("0", self.conv("0", x, 2)), 3, 2, 1)
        for block in (1, 2):
            for layer in (1, 2):
                new = self.conv(f"{block}{layer}a", self.norm(f"{block}{layer}a", x))
                if self.form != "textbook":
                    new = self.conv(f"{block}{layer}b", self.norm(f"{block}{layer}b", new))
                x = torch.cat([new, x] if self.form == "kuangliu" else [x, new], 1)
            if block == 1:
                x = F.avg_pool2d(self.conv("between", self.norm("between", x)), 2)
        return self.fc(self.norm("9", x).mean((2, 3)))


def densenet_names(reference: nn.Module, state: State) -> State:
    assert isinstance(reference, ReferenceDenseNet)
    stem = "stem.conv" if reference.form == "kuangliu" else "stem.conv.conv"
    places = {"conv0": stem, "norm0": "stem.conv.norm", "norm9": "norm", "fc": "head.fc"}
    for kind in ("norm", "conv"):
        places[f"{kind}between"] = f"transition1.conv.{kind}"
        for block in (1, 2):
            for layer in (1, 2):
                for part, conv in (("a", "conv1"), ("b", "conv2")):
                    places[f"{kind}{block}{layer}{part}"] = f"block{block}.{layer - 1}.new.{conv}.{kind}"
    result = {}
    for key, tensor in state.items():
        module, _, name = key.rpartition(".")
        if module != "norm0" or reference.form != "kuangliu":  # kuangliu's stem has no norm
            result[f"{places[module]}.{name}"] = tensor
    return result


# ------------------------------------------------------------------------------------------------- rows and mistakes

FORMS = {
    "googlenet": "published",
    "googlenet_original": "original",
    "googlenet_textbook": "textbook",
    "googlenet_cifar": "kuangliu",
}
DENSENETS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "densenet": ("imagenet", partial(densenet, num_classes=10, depths=(2, 2), growth_rate=8, stem_channels=16)),
    "densenet_textbook": ("textbook", partial(densenet_textbook, depths=(2, 2), growth_rate=8, stem_channels=16)),
    "densenet121_cifar": (
        "kuangliu",
        partial(
            convatlas.create,
            "densenet121_cifar",
            depths=(2, 2),
            growth_rate=8,
            stem_channels=16,
        ),
    ),
}


# As few pixels as show how poolings round on the way; the original's heads need the paper's.
PIXELS = {
    "googlenet_original": 64,
    "googlenet_original_aux": 224,
    "googlenet_textbook": 50,
    "googlenet_cifar": 11,
    "densenet": 72,
    "densenet_textbook": 72,
    "densenet121_cifar": 13,
    "googlenet": 80,
    "googlenet_aux": 80,
}


def _row(name: str) -> Row:
    image = (3, PIXELS[name], PIXELS[name])
    if name in DENSENETS:
        form, ours = DENSENETS[name]
        return Row(name, partial(ReferenceDenseNet, form), ours, densenet_names, image)
    reference = partial(ReferenceGoogLeNet, FORMS[name.removesuffix("_aux")], heads=name.endswith("_aux"))
    return Row(name, reference, partial(convatlas.create, name, num_classes=10), googlenet_names, image)


ROWS = tuple(map(_row, PIXELS))


def heads_swapped(network: nn.Module) -> None:
    first, second = (network.get_submodule(f"auxiliary.inception4{which}") for which in "ad")
    for path in ("fc1", "fc"):
        one, other = first.get_submodule(path), second.get_submodule(path)
        setattr(first, path, other)
        setattr(second, path, one)


def new_features_first(network: nn.Module) -> None:
    layer = network.get_submodule("block2.0")
    replace("block2.0", Concat(new=layer.get_submodule("new"), old=nn.Identity()))(network)


def old_features_first(network: nn.Module) -> None:
    layer = network.get_submodule("block2.0")
    replace("block2.0", Concat(old=nn.Identity(), new=layer.get_submodule("new")))(network)


CEIL, FLOOR = partial(nn.MaxPool2d, 3, 2, ceil_mode=True), partial(nn.MaxPool2d, 3, 2)
TRAIN = ("train",)
MISTAKES = (
    Mistake("googlenet_original", "branches swapped", reorder("inception4b", "branch3x3", "branch5x5")),
    Mistake("googlenet_original", "sizes rounded down in the stem", replace("stem.pool2", FLOOR())),
    Mistake("googlenet_original", "sizes rounded down", replace("pool3", FLOOR())),
    Mistake("googlenet_original", "norm before pooling", reorder("stem", "pool1", "norm1")),
    Mistake("googlenet_original", "norm after pooling", reorder("stem", "norm2", "pool2")),
    Mistake("googlenet_original", "norm missing", away("stem.norm1")),
    Mistake("googlenet_original", "norm of three", replace("stem.norm2", nn.LocalResponseNorm(3))),
    Mistake("googlenet_original", "norm's constant", replace("stem.norm1", nn.LocalResponseNorm(5, k=2.0))),
    Mistake("googlenet_original", "average pooled", replace("inception5a.branch_pool.pool", nn.AvgPool2d(3, 1, 1))),
    Mistake("googlenet_original", "no activation", away("inception3b.branch5x5.reduce.act")),
    Mistake("googlenet_original", "dropout of another part", replace("head.dropout", nn.Dropout(0.5)), seen_in=TRAIN),
    Mistake("googlenet_original_aux", "heads swapped", heads_swapped, seen_in=TRAIN),
    Mistake(
        "googlenet_original_aux",
        "padding counted",
        replace("auxiliary.inception4a.pool", nn.AvgPool2d(7, 3, 1)),
        seen_in=TRAIN,
    ),
    Mistake("googlenet_original_aux", "no hidden activation", away("auxiliary.inception4d.act1"), seen_in=TRAIN),
    Mistake(
        "googlenet_original_aux",
        "less dropout",
        replace("auxiliary.inception4d.dropout", nn.Dropout(0.5)),
        seen_in=TRAIN,
    ),
    Mistake("googlenet", "another epsilon", epsilon(1e-5)),
    Mistake("googlenet", "fourth pooling of 3x3", replace("pool4", CEIL())),
    Mistake("googlenet", "sizes rounded down", replace("pool4", nn.MaxPool2d(2, 2))),
    Mistake("googlenet_textbook", "no padding", replace("pool3", FLOOR())),
    Mistake("googlenet_cifar", "one 3x3", away("inception4c.branch5x5.conv.conv2")),
    Mistake("densenet", "new features first", new_features_first),
    Mistake("densenet", "stem's pooling not padded", replace("stem.pool", CEIL())),
    Mistake("densenet", "padding counted", replace("transition1.pool", nn.AvgPool2d(2, padding=1))),
    Mistake("densenet", "final norm missing", away("norm")),
    Mistake("densenet_textbook", "new features first", new_features_first),
    Mistake("densenet_textbook", "transition's activation missing", away("transition1.conv.act")),
    Mistake("densenet121_cifar", "old features first", old_features_first),
)
