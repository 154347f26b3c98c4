"""GoogLeNet: filters of several sizes side by side, so that each layer chooses its scale.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich. Going Deeper with Convolutions. CVPR 2015.
https://arxiv.org/abs/1409.4842
`googlenet_uva` is the CIFAR-size network of the University of Amsterdam's deep learning tutorial 5 (Lippe, 2020),
https://uvadlc-notebooks.readthedocs.io/en/latest/tutorial_notebooks/tutorial5/Inception_ResNet_DenseNet.html

>>> from convatlas.complexity import outline
>>> print(outline("googlenet_uva"))
stem          64 x 32 x 32       1,920
inception3a   64 x 32 x 32      17,360
inception3b   96 x 32 x 32      24,432
pool3         96 x 16 x 16           0
inception4a   96 x 16 x 16      27,120
inception4b   96 x 16 x 16      28,336
inception4c   96 x 16 x 16      28,336
inception4d  128 x 16 x 16      33,936
pool4          128 x 8 x 8           0
inception5a    128 x 8 x 8      48,960
inception5b    128 x 8 x 8      48,960
head                    10       1,290

Departs from the paper: the stem is a 3x3 convolution without pooling. There are eight inception blocks and two poolings
instead of nine and four. Batch norm follows every convolution, which keeps its bias. There are no local response norm,
no auxiliary heads and no dropout.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.googlenet.blocks import Table, inception, inception_stages
from convatlas.architectures.sources import UVA_TUTORIAL, uva_published, uva_weights
from convatlas.layers import (
    Activation,
    ConvNormAct,
    activation_layer,
    classifier,
    initialize_kaiming,
    sequential,
)


def googlenet_uva(*, num_classes: int = 10, in_channels: int = 3, activation: Activation = "relu") -> nn.Sequential:
    """Builds the tutorial's GoogLeNet: (N, in_channels, H, W) -> (N, num_classes), at least 4 pixels.

    Initialisation: Kaiming normal by fan-in.
    """
    act = activation_layer(activation)
    conv = partial(ConvNormAct, bias=True, act=act)
    pools = {name: nn.MaxPool2d(3, stride=2, padding=1) for name in ("pool3", "pool4")}
    stages, channels = inception_stages(64, UVA_TABLE, block=partial(inception, conv=conv), pools=pools)
    stem = conv(in_channels, 64, 3)
    network = sequential(stem=stem, **stages, head=classifier(channels, num_classes))
    initialize_kaiming(network, activation=activation, fan="fan_in")
    return network


# The tutorial's network in the columns of the paper's table 1:
#                1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
UVA_TABLE: Table = {
    "inception3a": (16, 32, 32, 16, 8, 8),
    "inception3b": (24, 32, 48, 16, 12, 12),
    "pool3": None,
    "inception4a": (24, 32, 48, 16, 12, 12),
    "inception4b": (16, 32, 48, 16, 16, 16),
    "inception4c": (16, 32, 48, 16, 16, 16),
    "inception4d": (32, 32, 48, 16, 24, 24),
    "pool4": None,
    "inception5a": (32, 48, 64, 16, 16, 16),
    "inception5b": (32, 48, 64, 16, 16, 16),
}

# The tutorial's blocks and poolings share one counter. Its branches are nn.Sequentials whose layers have numbers.
_TUTORIAL_LAYERS = {
    "conv_1x1.0": "branch1x1.conv",
    "conv_1x1.1": "branch1x1.norm",
    "conv_3x3.0": "branch3x3.reduce.conv",
    "conv_3x3.1": "branch3x3.reduce.norm",
    "conv_3x3.3": "branch3x3.conv.conv",
    "conv_3x3.4": "branch3x3.conv.norm",
    "conv_5x5.0": "branch5x5.reduce.conv",
    "conv_5x5.1": "branch5x5.reduce.norm",
    "conv_5x5.3": "branch5x5.conv.conv",
    "conv_5x5.4": "branch5x5.conv.norm",
    "max_pool.1": "branch_pool.projection.conv",
    "max_pool.2": "branch_pool.projection.norm",
}
UVA_KEYS: dict[str, str | None] = {
    "input_net.0": "stem.conv",
    "input_net.1": "stem.norm",
    **{
        f"inception_blocks.{index}.{theirs}": f"{name}.{ours}"
        for index, (name, row) in enumerate(UVA_TABLE.items())
        if row is not None
        for theirs, ours in _TUTORIAL_LAYERS.items()
    },
    "output_net.2": "head.fc",
}

ROWS = (
    Architecture(
        "googlenet_uva",
        builder=googlenet_uva,
        paper=UVA_TUTORIAL,
        dataset="cifar10",
        params=260_650,
        macs=79_643_904,
        published=uva_published(validation=0.9040, test=0.8970),
        weights=(
            uva_weights(
                "GoogleNet.ckpt",
                sha256="5453bd5d90d8547ca9d3639e8f07246c081fb3790382f6ea124642cad9b6b3d5",
                keys=UVA_KEYS,
            ),
        ),
        recipe="uva_adam",
        note="the tutorial's CIFAR-size network, not the paper's",
    ),
)
