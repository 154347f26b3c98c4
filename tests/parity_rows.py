"""Which network of torchvision or timm each of ours must equal, and where to look: a table, read by test and program.

The groups run as one process each, so that the imports are paid for once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Library = Literal["torchvision", "timm"]


@dataclass(frozen=True)
class Pair:
    """One of our architectures and the constructor of the network that it must equal, with the constructor's arguments.

    `image_size` is as small as the network allows, and gives odd sizes on the way, where poolings differ. `options` are
    ours. `renamed` are regular expressions that make of the oracle's keys those of the published file. `attributes` are
    set on the oracle after its tensors were taken.
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
    form: str = ""  # tells the pairs of one network and library apart

    @property
    def name(self) -> str:
        return "-".join(part for part in (self.architecture, self.library, self.form) if part)


def _both(*names: str, image_size: int = 64) -> tuple[Pair, ...]:
    """Networks that have our name in both libraries."""
    return tuple(Pair(name, library, image_size=image_size) for name in names for library in ("torchvision", "timm"))


VGG = tuple(f"vgg{layers}{norm}" for layers in (11, 13, 16, 19) for norm in ("", "_bn"))
RESNET = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
WIDE = ("wide_resnet50_2", "resnext50_32x4d", "resnext101_32x8d")
DENSENET = ("densenet121", "densenet161", "densenet169", "densenet201")
# The files that torchvision publishes are older than its key names.
DENSENET_FILE = ((r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2."),)
# What torchvision does itself where its file is loaded without the heads that are in it.
NO_HEADS = {"aux_logits": False, "aux1": None, "aux2": None}


def _googlenet(name: str = "googlenet", *, form: str = "", aux_logits: bool = False, **more: Any) -> Pair:
    """torchvision's GoogLeNet; `more` are the pair's other fields, and `transform_input` is for both networks."""
    options = more.get("options", {})
    arguments = {"aux_logits": aux_logits, "init_weights": False, "transform_input": False, **options}
    return Pair(name, "torchvision", "googlenet", arguments, image_size=72, form=form, **more)


GROUPS: dict[str, tuple[Pair, ...]] = {
    "vgg_torchvision": tuple(Pair(name, "torchvision") for name in VGG),
    "vgg_timm": tuple(Pair(name, "timm", arguments={"drop_rate": 0.5}) for name in VGG),
    "resnet": (
        *_both(*RESNET),
        Pair("resnet18", "timm", arguments={"num_classes": 7, "in_chans": 1}, in_channels=1, form="gray"),
    ),
    "wide": (*_both(*WIDE), Pair("seresnet50", "timm"), Pair("senet154", "timm", arguments={"drop_rate": 0.2})),
    "densenet": (
        *_both(*DENSENET, image_size=72),
        *(Pair(name, "torchvision", image_size=72, renamed=DENSENET_FILE, form="file") for name in DENSENET[:2]),
        Pair(
            "densenet264",
            "torchvision",
            "DenseNet",
            {"growth_rate": 32, "block_config": (6, 12, 64, 48), "num_init_features": 64},
            image_size=72,
        ),
    ),
    "others": (
        Pair("alexnet", "torchvision", image_size=96),
        # 36 pixels before the pooling, where rounding up and padding differ in size too; then 18, 9, 5 and 3.
        Pair("seresnet50_v1", "timm", "legacy_seresnet50", {"drop_rate": 0.0}, image_size=72),
        Pair("senet154_original", "timm", "legacy_senet154", {"drop_rate": 0.2}, image_size=72),
        _googlenet(),
        _googlenet(form="transform", options={"transform_input": True}),
        _googlenet(form="file", aux_logits=True, attributes=NO_HEADS),
        _googlenet("googlenet_aux", aux_logits=True),
        _googlenet("googlenet_aux", form="transform", aux_logits=True, options={"transform_input": True}),
    ),
    "checkpoints": (),
}
PAIRS = {pair.name: (group, pair) for group, pairs in GROUPS.items() for pair in pairs}
