"""The hyperparameters in the checkpoints of the University of Amsterdam's tutorial 5 (Lightning 1.0.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# model_name, and block_name where there is one, to the architecture.
ARCHITECTURES: dict[tuple[str, str | None], str] = {
    ("GoogleNet", None): "googlenet_uva",
    ("ResNet", None): "resnet_uva",
    ("ResNet", "ResNetBlock"): "resnet_uva",
    ("ResNet", "PreActResNetBlock"): "preact_resnet_uva",
    ("DenseNet", None): "densenet_uva",
}
OPTIONS = {  # model_hparams to the builder's options
    "c_hidden": "widths",
    "num_blocks": "depths",
    "num_layers": "depths",
    "bn_size": "bottleneck",
    "growth_rate": "growth_rate",
    "act_fn_name": "activation",
}
READ_OTHERWISE = ("num_classes", "block_name")  # from the tensors, and in the architecture's name


def architecture_and_options(hyperparameters: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Returns the architecture and options that the hyperparameters name, or None if they are not the tutorial's.

    >>> architecture_and_options({"model_name": "ResNet", "model_hparams": {"num_blocks": [3, 3, 3]}})
    ('resnet_uva', {'depths': [3, 3, 3]})
    """
    model = hyperparameters.get("model_hparams")
    if not isinstance(model, Mapping) or any(name not in OPTIONS and name not in READ_OTHERWISE for name in model):
        return None, {}
    key = (hyperparameters.get("model_name"), model.get("block_name"))
    if not all(part is None or isinstance(part, str) for part in key) or key not in ARCHITECTURES:
        return None, {}
    return ARCHITECTURES[key], {OPTIONS[name]: value for name, value in model.items() if name in OPTIONS}
