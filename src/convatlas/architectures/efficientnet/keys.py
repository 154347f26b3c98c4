"""The key tables for EfficientNets in other projects' layouts. The blocks of the first stage have no expansion."""

from __future__ import annotations

TORCHVISION_KEYS: dict[str, str | None] = {
    "features.0.0": "stem.conv",
    "features.0.1": "stem.norm",
    "features.8.0": "conv.conv",
    "features.8.1": "conv.norm",
    "features.1.{}.block.0.0": "stage1.{}.branch.depthwise.conv",
    "features.1.{}.block.0.1": "stage1.{}.branch.depthwise.norm",
    "features.1.{}.block.1.fc1": "stage1.{}.branch.excite.reduce",
    "features.1.{}.block.1.fc2": "stage1.{}.branch.excite.expand",
    "features.1.{}.block.2.0": "stage1.{}.branch.project.conv",
    "features.1.{}.block.2.1": "stage1.{}.branch.project.norm",
    "features.{}.{}.block.0.0": "stage{}.{}.branch.expand.conv",
    "features.{}.{}.block.0.1": "stage{}.{}.branch.expand.norm",
    "features.{}.{}.block.1.0": "stage{}.{}.branch.depthwise.conv",
    "features.{}.{}.block.1.1": "stage{}.{}.branch.depthwise.norm",
    "features.{}.{}.block.2.fc1": "stage{}.{}.branch.excite.reduce",
    "features.{}.{}.block.2.fc2": "stage{}.{}.branch.excite.expand",
    "features.{}.{}.block.3.0": "stage{}.{}.branch.project.conv",
    "features.{}.{}.block.3.1": "stage{}.{}.branch.project.norm",
    "classifier.1": "head.fc",
}

TIMM_KEYS: dict[str, str | None] = {
    "conv_stem": "stem.conv",
    "bn1": "stem.norm",
    "blocks.0.{}.conv_dw": "stage1.{}.branch.depthwise.conv",
    "blocks.0.{}.bn1": "stage1.{}.branch.depthwise.norm",
    "blocks.0.{}.conv_pw": "stage1.{}.branch.project.conv",
    "blocks.0.{}.bn2": "stage1.{}.branch.project.norm",
    "blocks.{}.{}.conv_pw": "stage{+1}.{}.branch.expand.conv",
    "blocks.{}.{}.bn1": "stage{+1}.{}.branch.expand.norm",
    "blocks.{}.{}.conv_dw": "stage{+1}.{}.branch.depthwise.conv",
    "blocks.{}.{}.bn2": "stage{+1}.{}.branch.depthwise.norm",
    "blocks.{}.{}.se.conv_reduce": "stage{+1}.{}.branch.excite.reduce",
    "blocks.{}.{}.se.conv_expand": "stage{+1}.{}.branch.excite.expand",
    "blocks.{}.{}.conv_pwl": "stage{+1}.{}.branch.project.conv",
    "blocks.{}.{}.bn3": "stage{+1}.{}.branch.project.norm",
    "conv_head": "conv.conv",
    "bn2": "conv.norm",
    "classifier": "head.fc",
}

TIMM_LITE_KEYS = {published: own for published, own in TIMM_KEYS.items() if ".se." not in published}


def _kuangliu_keys(depths: tuple[int, ...]) -> dict[str, str | None]:
    """Returns kuangliu's key table. Its blocks have running numbers; the first has an expansion that is never used."""
    table: dict[str, str | None] = {
        "conv1": "stem.conv",
        "bn1": "stem.norm",
        "layers.0.conv1": None,
        "layers.0.bn1": None,
    }
    places = [f"stage{number}.{block}" for number, depth in enumerate(depths, start=1) for block in range(depth)]
    for position, place in enumerate(places):
        for index, layer in enumerate(("expand", "depthwise", "project"), start=1):
            if position or layer != "expand":
                table[f"layers.{position}.conv{index}"] = f"{place}.branch.{layer}.conv"
                table[f"layers.{position}.bn{index}"] = f"{place}.branch.{layer}.norm"
        table[f"layers.{position}.se.se1"] = f"{place}.branch.excite.reduce"
        table[f"layers.{position}.se.se2"] = f"{place}.branch.excite.expand"
    return table | {"linear": "head.fc"}


KUANGLIU_KEYS = _kuangliu_keys((1, 2, 2, 3, 3, 4, 1))


def lukemelas_keys(depths: tuple[int, ...]) -> dict[str, str | None]:
    """Returns the key table of https://github.com/lukemelas/EfficientNet-PyTorch, whose blocks have running numbers.

    The names of a block's norms count its convolutions. The first stage has no expansion, but its norms begin at 1.
    """
    table: dict[str, str | None] = {"_conv_stem": "stem.conv", "_bn0": "stem.norm"}
    places = [f"stage{number}.{block}" for number, depth in enumerate(depths, start=1) for block in range(depth)]
    for position, place in enumerate(places):
        for norm, layer in enumerate(("expand", "depthwise", "project")):
            if layer != "expand" or not place.startswith("stage1."):
                table[f"_blocks.{position}._{layer}_conv"] = f"{place}.branch.{layer}.conv"
                table[f"_blocks.{position}._bn{norm}"] = f"{place}.branch.{layer}.norm"
    return table | {"_conv_head": "conv.conv", "_bn1": "conv.norm", "_fc": "head.fc"}
