"""How others name the tensors of residual networks; a leading "module." is DataParallel's."""

from __future__ import annotations

# torchvision's, and timm's, which has the same.
TORCHVISION_KEYS: dict[str, str | None] = {
    "conv1": "stem.conv.conv",
    "bn1": "stem.conv.norm",
    "layer{}.{}.conv{}": "stage{}.{}.branch.conv{}.conv",
    "layer{}.{}.bn{}": "stage{}.{}.branch.conv{}.norm",
    "layer{}.{}.downsample.0": "stage{}.{}.shortcut.conv",
    "layer{}.{}.downsample.1": "stage{}.{}.shortcut.norm",
    "fc": "head.fc",
}

# The form in which most published CIFAR ResNets come.
AKAMASTER_KEYS: dict[str, str | None] = {
    "conv1": "stem.conv",
    "bn1": "stem.norm",
    "layer{}.{}.conv{}": "stage{}.{}.branch.conv{}.conv",
    "layer{}.{}.bn{}": "stage{}.{}.branch.conv{}.norm",
    "linear": "head.fc",
}
# kuangliu's too.
AKAMASTER_OPTION_B_KEYS: dict[str, str | None] = {
    **AKAMASTER_KEYS,
    "layer{}.{}.shortcut.0": "stage{}.{}.shortcut.conv",
    "layer{}.{}.shortcut.1": "stage{}.{}.shortcut.norm",
}
