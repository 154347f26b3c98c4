"""Key tables for residual networks in other projects' layouts; a leading "module." comes from DataParallel."""

from __future__ import annotations

# The names in torchvision and in timm.
TORCHVISION_KEYS: dict[str, str | None] = {
    "conv1": "stem.conv.conv",
    "bn1": "stem.conv.norm",
    "layer{}.{}.conv{}": "stage{}.{}.branch.conv{}.conv",
    "layer{}.{}.bn{}": "stage{}.{}.branch.conv{}.norm",
    "layer{}.{}.downsample.0": "stage{}.{}.shortcut.conv",
    "layer{}.{}.downsample.1": "stage{}.{}.shortcut.norm",
    "fc": "head.fc",
}

# The names in most published CIFAR ResNets.
AKAMASTER_KEYS: dict[str, str | None] = {
    "conv1": "stem.conv",
    "bn1": "stem.norm",
    "layer{}.{}.conv{}": "stage{}.{}.branch.conv{}.conv",
    "layer{}.{}.bn{}": "stage{}.{}.branch.conv{}.norm",
    "linear": "head.fc",
}
# The names in kuangliu's networks too.
AKAMASTER_OPTION_B_KEYS: dict[str, str | None] = {
    **AKAMASTER_KEYS,
    "layer{}.{}.shortcut.0": "stage{}.{}.shortcut.conv",
    "layer{}.{}.shortcut.1": "stage{}.{}.shortcut.norm",
}
