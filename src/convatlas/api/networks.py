"""Networks in Python: created, loaded, shown."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from convatlas.architectures import architecture
from convatlas.complexity import Complexity, complexity, meta_network
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError, escaped
from convatlas.run import Run

Source = str | Path | Run | Mapping[str, Any]


def create(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    weights: str | None = None,
    **options: Any,
) -> nn.Module:
    """Returns a new network called `name`, or from `path/to/file.py:name`: (N, C, H, W) -> (N, num_classes).

    `options` are the keywords of its builder. `weights` names published weights, which are downloaded into the user's
    cache folder, checked and loaded; the network is then in eval mode. See `load` for another number of classes and
    `preprocessing` for the images that the weights expect. Raises `UsageError` for an unknown name or option.

    >>> create("resnet_uva", num_classes=100, depths=(2, 2, 2)).head.fc
    Linear(in_features=64, out_features=100, bias=True)
    """
    row = architecture(name)
    if weights is None:
        return row.build(num_classes=num_classes, in_channels=in_channels, **options)
    if in_channels not in (None, row.in_channels):
        raise UsageError(f"the weights {weights} of {name} are for {row.in_channels} channels, not {in_channels}")
    from convatlas.weights import published_file, weights_named

    chosen = weights_named(row, weights)
    meta_network(row, num_classes=num_classes, **options)  # refuses wrong options before the download
    return load(name, published_file(chosen), num_classes, **options)


def load(name: Source, source: Source | None = None, num_classes: int | None = None, **options: Any) -> nn.Module:
    """Returns a network with the weights of a checkpoint, in eval mode on the CPU: `load(name, source)`.

    `source` is a checkpoint file, a run, its folder or a state dict, in our layout or in a layout that a key table
    translates, such as torchvision's, timm's and BiT's `.npz`. `load(source)` takes the network that the source names,
    as a run does, or the network that its keys fit. With another `num_classes` than the checkpoint's, the network gets
    a new, untrained head. If a checkpoint also holds a moving average of the weights, the average is taken. A warning
    says so in both cases. `options` are the builder's, such as a dropout. `preprocessing` says which images the weights
    expect. Raises `UsageError` if the checkpoint does not fit.

    >>> load("resnet_uva", create("resnet_uva").state_dict()).training
    False
    """
    from convatlas.prediction import identify_source

    if source is not None and not isinstance(name, str):
        raise UsageError(f"the name of a network is text, not {type(name).__name__}; a source alone needs no name")
    arch, given = (None, name) if source is None else (str(name), source)
    identified, label = identify_source(given, arch=arch, options=options)
    for note in identified.notes:
        warnings.warn(escaped(f"{label}: {note}"), stacklevel=2)
    if num_classes is None or num_classes == identified.num_classes:
        return identified.build()
    network = identified.build_for(num_classes)
    change = f"the head for {identified.num_classes} classes is replaced by an untrained one for {num_classes}"
    warnings.warn(escaped(f"{label}: {change}"), stacklevel=2)
    return network


def preprocessing(name: str, weights: str) -> Preprocessing:
    """Returns the preprocessing of published `weights`; calling it turns uint8 images (N, C, H, W) into inputs.

    It has the shorter side, the size of the centre, mean and standard deviation. The names of the classes are
    `class_names(dataset)`. Raises `UsageError` for unknown names.

    >>> preprocessing("resnet50", "torchvision").shorter_side
    256
    """
    from convatlas.weights import preprocessing_of_weights, weights_named

    return preprocessing_of_weights(weights_named(architecture(name), weights))


def show(
    name: str,
    *,
    image_size: int | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    **options: Any,
) -> Complexity:
    """Returns the counts of a network for one image: parameters, multiply-adds, activations, and its layers.

    `image_size` is in pixels; by default size, classes, channels and `options` are the network's own. The network
    computes no image. Raises `UsageError` for an unknown name or option, and for an image that the network cannot take.

    >>> counted = show("resnet_uva", num_classes=100)
    >>> counted.params, counted.macs, [stage.name for stage in counted.stages]
    (278228, 40818944, ['stem', 'stage1', 'stage2', 'stage3', 'head'])
    """
    if image_size is not None and image_size < 1:
        raise UsageError(f"image_size={image_size} must be at least 1 pixel")
    row = architecture(name)
    return complexity(row, image_size=image_size, num_classes=num_classes, in_channels=in_channels, **options)
