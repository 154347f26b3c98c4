"""Which network of another library each of ours must equal, and where to look: a table, read by test and program.

The groups run as one process each, so that the imports are paid for once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Library = Literal["torchvision", "timm", "lite", "effdet"]


@dataclass(frozen=True)
class Pair:
    """One of our architectures and the constructor of the network that it must equal, with the constructor's arguments.

    `image_size` is as small as the network allows, and gives odd sizes on the way, where poolings differ. `options` are
    ours. `renamed` are regular expressions that make of the oracle's keys those of the published file. `attributes` are
    set on the oracle after its tensors were taken, `epsilons` in its modules of a class, by the class's name.
    """

    architecture: str
    library: Library
    constructor: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    image_size: int = 64
    in_channels: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    renamed: tuple[tuple[str, str], ...] = ()
    epsilons: Mapping[str, float] = field(default_factory=dict)
    form: str = ""  # tells the pairs of one network and library apart

    @property
    def name(self) -> str:
        return "-".join(part for part in (self.architecture, self.library, self.form) if part)


def _pairs(library: Library, *names: str, image_size: int = 64, **arguments: Any) -> tuple[Pair, ...]:
    """Networks that have our name in the library."""
    return tuple(Pair(name, library, arguments=arguments, image_size=image_size) for name in names)


VGG = tuple(f"vgg{layers}{norm}" for layers in (11, 13, 16, 19) for norm in ("", "_bn"))
VGG_COMPUTED = ("vgg11", "vgg11_bn")  # the deeper ones, of a gigabyte each, by every name and shape
WIDE = ("wide_resnet50_2", "resnext50_32x4d", "resnext101_32x8d")
DENSENET = ("densenet121", "densenet161", "densenet169", "densenet201")
DPN = ("dpn92", "dpn98", "dpn131")
SHALLOW = (1, 2, 1, 1)  # blocks of each stage at full width; at full depth, names, shapes and norms are compared
# The widths of the authors' DPN-107, at fewer blocks.
DPN107 = {
    "depths": (1, 2, 1, 1),
    "inner_widths": (200, 400, 800, 1600),
    "growth_rates": (20, 64, 64, 128),
    "groups": 50,
}
# The files that torchvision publishes are older than its key names.
DENSENET_FILE = ((r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2."),)
# What torchvision does itself where its file is loaded without the heads that are in it.
NO_HEADS = {"aux_logits": False, "aux1": None, "aux2": None}


def _shallow(name: str, constructor: str = "", *, depths: str = "layers", **arguments: Any) -> Pair:
    """timm's network of few blocks; `depths` is timm's name for their number."""
    arguments = {depths: SHALLOW, **arguments}
    return Pair(name, "timm", constructor, arguments, image_size=40, options={"depths": SHALLOW}, form="shallow")


def _densenet161(**more: Any) -> Pair:
    """torchvision's DenseNet of these widths with few layers in a stage; `more` are the pair's other fields."""
    arguments = {"growth_rate": 48, "num_init_features": 96, "block_config": (3, 4, 4, 3)}
    return Pair(
        "densenet161", "torchvision", "DenseNet", arguments, image_size=72, options={"depths": (3, 4, 4, 3)}, **more
    )


def _googlenet(name: str = "googlenet", *, form: str = "", aux_logits: bool = False, **more: Any) -> Pair:
    """torchvision's GoogLeNet; `more` are the pair's other fields, and `transform_input` is for both networks."""
    options = more.get("options", {})
    arguments = {"aux_logits": aux_logits, "init_weights": False, "transform_input": False, **options}
    return Pair(name, "torchvision", "googlenet", arguments, image_size=72, form=form, **more)


# Other widths of MobileNet-v2; timm has no dropout unless it is asked for.
MOBILENET_WIDTHS = {"050": {"width": 0.5, "dropout": 0.0}, "140": {"width": 1.4, "dropout": 0.0}}
# The norms of torchvision's EfficientNets from B5 on are TensorFlow's, timm's are PyTorch's.
TIMM_NORMS = {f"efficientnet_b{index}": {"epsilon": 1e-5, "momentum": 0.1} for index in (5, 6, 7)}
EFFICIENTNET_DROPOUT = {"b2": 0.3, "b3": 0.3, "b4": 0.4, "b5": 0.4, "b6": 0.5, "b7": 0.5, "l2": 0.5}  # else 0.2


def _efficientnet(name: str, *, image_size: int = 40, form: str = "") -> Pair:
    """timm's EfficientNet with the release's dropout and stochastic depth, and in TensorFlow's form its momentum."""
    arguments = {"drop_rate": EFFICIENTNET_DROPOUT.get(name.rpartition("_")[2], 0.2), "drop_path_rate": 0.2}
    if name.startswith("tf_"):
        arguments["bn_momentum"] = 0.01  # timm leaves PyTorch's 0.1, which matters in training only
    return Pair(name, "timm", "", arguments, image_size=image_size, options=TIMM_NORMS.get(name, {}), form=form)


LITE = {"lite0": 0.2, "lite1": 0.2, "lite2": 0.3, "lite3": 0.3, "lite4": 0.3}  # with the release's dropout


def _lite(name: str) -> Pair:
    """timm's EfficientNet-Lite in TensorFlow's form, with the release's dropout, stochastic depth and momentum."""
    arguments = {"drop_rate": LITE[name], "drop_path_rate": 0.2, "bn_momentum": 0.01}
    return Pair(f"efficientnet_{name}", "timm", f"tf_efficientnet_{name}", arguments, image_size=33)


def _publishers_lite(name: str) -> Pair:
    """The network of the package that goes with the published weights, without its own draws of skipped branches."""
    arguments = {"image_size": 33, "drop_connect_rate": 0.0, "dropout_rate": LITE[name]}
    options = {"stochastic_depth": 0.0}
    return Pair(f"efficientnet_{name}", "lite", f"efficientnet-{name}", arguments, image_size=33, options=options)


DETECTOR_BACKBONE = {"drop_path_rate": 0.2, "bn_momentum": 0.01}  # timm leaves PyTorch's 0.1 for training
OWN_DETECTOR = {"backbone": "efficientnet_b0", "padding": "equal", "redundant_bias": False}
# The heads and the pyramid of another detector at the size of a small one.
THIN_DETECTOR = {"fpn_channels": 16, "fpn_cell_repeats": 2, "box_class_repeats": 1}
THIN = {"width": 16, "cells": 2, "head_layers": 1, "backbone": "tf_efficientnet_b0"}


def _detector(name: str, *, form: str = "", options: Mapping[str, Any] | None = None, **changes: Any) -> Pair:
    """effdet's detector in TensorFlow's form at 100 pixels: 50, 25, 13, 7, 4, 2 and 1."""
    settings = {"backbone_args": DETECTOR_BACKBONE, **changes}
    return Pair(
        f"efficientdet_{name}", "effdet", f"tf_efficientdet_{name}", settings, 100, options=options or {}, form=form
    )


def _own_detector(name: str, backbone: str) -> Pair:
    """effdet's own form of a detector."""
    settings = {"backbone_args": {"drop_path_rate": 0.2}}
    options = {**OWN_DETECTOR, "backbone": backbone}
    constructor = f"efficientdet_{name}"
    return Pair(constructor, "effdet", constructor, settings, 100, options=options, form="own")


def _inception_v3(library: Library, *, aux_logits: bool = False, **more: Any) -> Pair:
    """Inception-v3, with 54 and 24 pixels before the stem's poolings; the auxiliary head needs the paper's 299."""
    own = {"drop_rate": 0.5} if library == "timm" else {"init_weights": False, "transform_input": False}
    options = more.get("options", {})
    arguments = {"aux_logits": aux_logits, **own, **options}
    name, size = ("inception_v3_aux", 299) if aux_logits and "attributes" not in more else ("inception_v3", 113)
    return Pair(name, library, "inception_v3", arguments, image_size=size, **more)


BIT = ("50x1", "50x3", "101x1", "101x3", "152x2", "152x4")
BIT_EPSILON = {"StdConv2d": 1e-10}  # the released code's; timm has 1e-8


def _bit(name: str, *, channels: tuple[int, ...] = (), form: str = "", **arguments: Any) -> Pair:
    """timm's BiT with the epsilon of the released code; thinner where `channels`, at the width of 1, are given."""
    factor = int(name.rpartition("x")[2])
    options = {"widths": tuple(factor * each for each in channels)} if channels else {}
    return Pair(
        f"bit_resnet{name}",
        "timm",
        f"resnetv2_{name}_bit",
        {**({"channels": channels} if channels else {}), **arguments},
        image_size=40,
        in_channels=arguments.get("in_chans", 3),
        options=options,
        epsilons=BIT_EPSILON,
        form=form,
    )


def _preact(layers: int, *, channels: tuple[int, ...] = ()) -> Pair:
    arguments, options = ({"channels": channels}, {"widths": channels}) if channels else ({}, {})
    return Pair(f"preact_resnet{layers}", "timm", f"resnetv2_{layers}", arguments, image_size=40, options=options)


GROUPS: dict[str, tuple[Pair, ...]] = {
    "vgg_resnet": (
        *_pairs("torchvision", *VGG_COMPUTED),
        *_pairs("timm", "vgg11_bn", drop_rate=0.5),
        # 40 pixels: 20, 10, 5, 3 and 2.
        *_pairs("torchvision", "resnet18", "resnet34", "resnet50", "resnext50_32x4d", image_size=40),
        *_pairs("timm", "resnet18", "resnet50", "seresnet50", image_size=40),
        *map(_shallow, ("wide_resnet50_2", "resnext101_32x8d")),
        _shallow("senet154", drop_rate=0.2),
        Pair("resnet18", "timm", "", {"num_classes": 7, "in_chans": 1}, image_size=40, in_channels=1, form="gray"),
    ),
    "others": (
        *_pairs("torchvision", "densenet121", image_size=72),
        *_pairs("timm", "densenet121", image_size=72),
        Pair("densenet121", "torchvision", image_size=72, renamed=DENSENET_FILE, form="file"),
        _densenet161(form="shallow"),
        _densenet161(form="file", renamed=DENSENET_FILE),
        Pair("alexnet", "torchvision", image_size=96),
        # 20 pixels before the pooling, where rounding up and padding differ in size too; then 10, 5, 3 and 2.
        Pair("seresnet50_v1", "timm", "legacy_seresnet50", {"drop_rate": 0.0}, image_size=40),
        _shallow("senet154_original", "legacy_senet154", drop_rate=0.2),
        _googlenet(),
        _googlenet(form="transform", options={"transform_input": True}),
        _googlenet(form="file", aux_logits=True, attributes=NO_HEADS),
        _googlenet("googlenet_aux", aux_logits=True),
        _googlenet("googlenet_aux", form="transform", aux_logits=True, options={"transform_input": True}),
        # Smaller images give no value beyond the activation's bound in training.
        Pair("mobilenet_v2", "torchvision", image_size=72),
        Pair("mobilenet_v2", "timm", "mobilenetv2_100", {"drop_rate": 0.2}, image_size=72),
        *(
            Pair("mobilenet_v2", "timm", f"mobilenetv2_{name}", image_size=65, options=options, form=name)
            for name, options in MOBILENET_WIDTHS.items()
        ),
    ),
    "inception": (
        # 40 pixels: 20, 10, 5, 3 and 2.
        *(Pair(f"efficientnet_b{index}", "torchvision", image_size=40) for index in (0, 3, 5)),
        _efficientnet("efficientnet_b0"),
        _efficientnet("tf_efficientnet_b1"),
        _efficientnet("tf_efficientnet_b0", image_size=64, form="even"),  # 32, 16, 8, 4 and 2
        _efficientnet("tf_efficientnet_b0", image_size=33, form="odd"),  # 17, 9, 5, 3 and 2
        _lite("lite0"),
        *map(_publishers_lite, ("lite0", "lite2")),
        _detector("d0"),
        _detector("d1"),
        _detector("d7x", form="thin", options=THIN, backbone_name="tf_efficientnet_b0", **THIN_DETECTOR),
        _detector("d0", form="softmax", options={**THIN, "fusion": "softmax"}, fpn_name="bifpn_attn", **THIN_DETECTOR),
        _own_detector("d0", "efficientnet_b0"),
        _inception_v3("torchvision"),
        _inception_v3("torchvision", form="transform", options={"transform_input": True}),
        _inception_v3("torchvision", form="file", aux_logits=True, attributes={"aux_logits": False, "AuxLogits": None}),
        _inception_v3("torchvision", aux_logits=True),
        _inception_v3("timm"),
        # 52 and 25 pixels before the stems' poolings, then 11, 5 and 2.
        Pair("inception_v4", "timm", arguments={"drop_rate": 0.2}, image_size=109),
        Pair("inception_resnet_v2", "timm", arguments={"drop_rate": 0.2}, image_size=109),
    ),
    "dpn_bit": (
        # 40 pixels: 20, 10, 5, 3 and 2. The stages of all four networks have the same kinds of blocks.
        Pair("dpn68", "timm", image_size=40),
        *(_shallow(name, depths="k_sec") for name in DPN),
        Pair("dpn68", "timm", arguments={"num_classes": 7, "in_chans": 1}, in_channels=1, image_size=40, form="gray"),
        Pair("dpn131", "timm", "dpn107", {"k_sec": (1, 2, 1, 1)}, image_size=40, options=DPN107, form="107"),
        _bit("50x1"),
        _bit("50x1", channels=(128, 128, 256, 256), num_classes=7, in_chans=1, form="gray"),
        _bit("50x3", channels=(128, 128, 128, 256)),
        _bit("101x1", channels=(128, 128, 256, 256)),
        _bit("101x3", channels=(128, 128, 128, 256)),
        _bit("152x2", channels=(128, 64, 128, 128)),
        _bit("152x4", channels=(32, 64, 64, 128)),
        _preact(50),
        _preact(101, channels=(32, 64, 64, 128)),
        _preact(152, channels=(32, 64, 64, 128)),
    ),
}
# Networks of which names, shapes and norms are compared, without memory for them: those too large to compute with, and
# those whose builder and key table were compared in numbers at other depths, and whose counts are published.
OUTLINES: dict[str, tuple[Pair, ...]] = {
    "vgg_resnet": (
        *_pairs("torchvision", *(name for name in VGG if name not in VGG_COMPUTED), "resnet101", "resnet152"),
        *_pairs("torchvision", *WIDE[::2]),
        *_pairs(
            "timm",
            *(name for name in VGG if name != "vgg11_bn"),
            "resnet34",
            "resnet101",
            "resnet152",
            *WIDE,
            "senet154",
        ),
    ),
    "others": (
        *_pairs("torchvision", *DENSENET[1:]),
        *_pairs("timm", *DENSENET[1:]),
        Pair(
            "densenet264",
            "torchvision",
            "DenseNet",
            {"growth_rate": 32, "block_config": (6, 12, 64, 48), "num_init_features": 64},
        ),
        Pair("senet154_original", "timm", "legacy_senet154"),
    ),
    "dpn_bit": (*(_bit(name, num_classes=21_843, form="21843") for name in BIT), *_pairs("timm", *DPN)),
    "inception": (
        _inception_v3("timm", aux_logits=True),
        *(Pair(f"efficientnet_b{index}", "torchvision") for index in (1, 2, 4, 6, 7)),
        *(_efficientnet(f"efficientnet_b{index}") for index in range(1, 8)),
        *(_efficientnet(f"tf_efficientnet_b{index}") for index in range(2, 8)),
        _efficientnet("tf_efficientnet_l2"),
        *map(_lite, ("lite1", "lite2", "lite3", "lite4")),
        _publishers_lite("lite1"),
        *(_detector(f"d{phi}") for phi in (2, 3, 4, 5, 6, 7)),
        _detector("d7x"),
        _own_detector("d1", "efficientnet_b1"),
    ),
}
CHECKPOINTS = "dpn_bit"  # the group whose process reads wrapped checkpoints too
PAIRS = {pair.name: (group, pair) for group, pairs in GROUPS.items() for pair in pairs}
