"""The heads of EfficientDet, which look at all levels with the same convolutions, and at each level with its own norms.

Tan, Pang, Le 2019, https://arxiv.org/abs/1911.09070, section 4.1, as RetinaNet's heads:
Lin et al. 2017, https://arxiv.org/abs/1708.02002, section 4.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from convatlas.architectures.backbones import Levels
from convatlas.architectures.efficientdet.pyramid import FIRST_LEVEL, PyramidForm, norm_layer, separable
from convatlas.layers import DetectorOutput, activation_layer

PRIOR = 0.01  # of a class at first; nearly all boxes of an image are background


class SharedHead(nn.Module):
    """Separable convolutions that all levels share, each followed by a norm of the level: `Levels` -> `Levels`.

    `conv1`, `conv2` ... are the convolutions, `norm1`, `norm2` ... hold the norms by level (`level3` ...), and
    `predict` gives `out_channels` channels.
    """

    def __init__(self, out_channels: int, form: PyramidForm, *, layers: int, levels: int) -> None:
        super().__init__()
        self.layers = layers
        for number in range(1, layers + 1):
            self.add_module(f"conv{number}", separable(form.width, form.width, bias=form.redundant_bias))
            norms = {f"level{FIRST_LEVEL + index}": norm_layer(form.width) for index in range(levels)}
            self.add_module(f"norm{number}", nn.ModuleDict(norms))
        self.act = activation_layer("silu")()
        self.predict = separable(form.width, out_channels, bias=True)

    def forward(self, features: Levels) -> Levels:
        return tuple(self._of_level(f"level{level}", each) for level, each in enumerate(features, start=FIRST_LEVEL))

    def fold_norms(self) -> None:
        """Folds the norms of each layer: 1x1 convolutions of each level stand in their places."""
        for number in range(1, self.layers + 1):
            conv, norms = self.get_submodule(f"conv{number}"), self.get_submodule(f"norm{number}")
            pointwise = conv.get_submodule("pointwise")
            assert isinstance(pointwise, nn.Conv2d)
            for level, norm in list(norms.named_children()):
                assert isinstance(norm, nn.BatchNorm2d)
                setattr(norms, level, fuse_conv_bn_eval(pointwise, norm))
            conv.pointwise = nn.Identity()

    def _of_level(self, level: str, features: Tensor) -> Tensor:
        for number in range(1, self.layers + 1):
            convolved = self.get_submodule(f"conv{number}")(features)
            features = self.act(self.get_submodule(f"norm{number}.{level}")(convolved))
        predicted: Tensor = self.predict(features)
        return predicted


class DetectorHead(nn.Module):
    """The head for boxes and the head for classes: `Levels` -> `DetectorOutput`.

    `anchor_scale` is the side of the smallest square anchor of a level, in strides of the level. Nothing here computes
    with it: it belongs to the weights, and who trains the network or reads its output takes it from here.
    """

    anchor_scale: float = 4.0

    def __init__(self, num_classes: int, form: PyramidForm, *, anchors: int, layers: int, levels: int) -> None:
        super().__init__()
        self.boxes = SharedHead(4 * anchors, form, layers=layers, levels=levels)
        self.classes = SharedHead(num_classes * anchors, form, layers=layers, levels=levels)

    def forward(self, features: Levels) -> DetectorOutput:
        return DetectorOutput(logits=self.classes(features), offsets=self.boxes(features))


def initialize_heads(head: DetectorHead) -> None:
    """Initialises as the authors: normal with variance 1 / fan-in, biases 0, and each class with probability 0.01."""
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.weight[0].numel()))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    bias = head.get_parameter("classes.predict.pointwise.bias")
    nn.init.constant_(bias, -math.log((1 - PRIOR) / PRIOR))


def initialize_pyramid(pyramid: nn.Module) -> None:
    """Initialises as the authors: uniform as Glorot and Bengio, with the fans of one channel for depthwise layers."""
    for module in pyramid.modules():
        if isinstance(module, nn.Conv2d):
            area = math.prod(module.kernel_size)
            fans = (module.in_channels + module.out_channels) // module.groups * area
            bound = math.sqrt(6 / fans)
            nn.init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
