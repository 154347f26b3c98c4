"""The families, each defined in its own file as `FAMILY`: to import them is to import PyTorch."""

from __future__ import annotations

from convatlas.architecture import Family
from convatlas.architectures import (
    alexnet,
    bit,
    densenet,
    dpn,
    efficientdet,
    efficientnet,
    googlenet,
    inception,
    lenet,
    mobilenet,
    nin,
    preact_resnet,
    resnet,
    vgg,
    wide_resnet,
)
from convatlas.architectures.inception import inception_resnet
from convatlas.architectures.resnet import resnext, senet

FAMILIES: tuple[Family, ...] = (  # in the order of their papers
    lenet.FAMILY,
    alexnet.FAMILY,
    nin.FAMILY,
    vgg.FAMILY,
    googlenet.FAMILY,
    inception.FAMILY,
    resnet.FAMILY,
    preact_resnet.FAMILY,
    inception_resnet.FAMILY,
    wide_resnet.FAMILY,
    resnext.FAMILY,
    densenet.FAMILY,
    senet.FAMILY,
    dpn.FAMILY,
    mobilenet.FAMILY,
    bit.FAMILY,
    efficientnet.FAMILY,
    efficientdet.FAMILY,
)
