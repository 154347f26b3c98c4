"""Key tables for squeeze-and-excitation networks in other projects' layouts."""

from __future__ import annotations

from convatlas.architectures.resnet.keys import TORCHVISION_KEYS

TIMM_KEYS: dict[str, str | None] = {
    **TORCHVISION_KEYS,
    "layer{}.{}.se.fc1": "stage{}.{}.branch.excite.reduce",
    "layer{}.{}.se.fc2": "stage{}.{}.branch.excite.expand",
}
# The names in timm's senet154 and in Gluon's.
TIMM_SENET154_KEYS: dict[str, str | None] = {
    **{row: ours for row, ours in TIMM_KEYS.items() if row not in ("conv1", "bn1")},
    "conv1.0": "stem.conv1.conv",
    "conv1.1": "stem.conv1.norm",
    "conv1.3": "stem.conv2.conv",
    "conv1.4": "stem.conv2.norm",
    "conv1.6": "stem.conv3.conv",
    "bn1": "stem.conv3.norm",
}

# The names in timm's legacy_* and in Cadene's ports of the authors' Caffe files: rows for both seresnet50 and senet154.
_LEGACY_KEYS: dict[str, str | None] = {
    **{row: ours for row, ours in TORCHVISION_KEYS.items() if row.startswith("layer")},
    "layer{}.{}.se_module.fc1": "stage{}.{}.branch.excite.reduce",
    "layer{}.{}.se_module.fc2": "stage{}.{}.branch.excite.expand",
    "last_linear": "head.fc",
}
TIMM_LEGACY_KEYS: dict[str, str | None] = {
    **_LEGACY_KEYS,
    "layer0.conv1": "stem.conv.conv",
    "layer0.bn1": "stem.conv.norm",
}
TIMM_LEGACY_SENET154_KEYS: dict[str, str | None] = {
    **_LEGACY_KEYS,
    "layer0.conv{}": "stem.conv{}.conv",
    "layer0.bn{}": "stem.conv{}.norm",
}
