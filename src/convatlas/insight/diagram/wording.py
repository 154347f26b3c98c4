"""The text of boxes: a layer in the words of the papers' tables, a closed block in its convolutions."""

from __future__ import annotations

import re

from convatlas.complexity import detail_of
from convatlas.insight.diagram.flow import Call, Step

POOLS = ("HalvingPool", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d")
LAYERS = {
    "BatchNorm1d": "batch norm",
    "BatchNorm2d": "batch norm",
    "GroupNorm": "group norm",
    "LayerNorm": "layer norm",
    "LocalResponseNorm": "response norm",
    "Conv2d": "conv",
    "ConvTranspose2d": "transposed conv",
    "StandardizedConv2d": "standardised conv",
    "Linear": "linear",
    "MaxPool2d": "max pool",
    "AvgPool2d": "average pool",
    "Dropout": "dropout",
    "Flatten": "flatten",
    "StochasticDepth": "stochastic depth",
    "Scale": "scale",
    "SamePadding": "padding",
    "ConstantPad2d": "padding",
    "ZeroPad2d": "padding",
    "InputTransform": "input transform",
    "HalvingPool": "max pool",
    "Fusion": "fusion",
}
OPERATIONS = {
    "add": "+",
    "mul": "×",
    "sub": "-",
    "div": "÷",
    "cat": "concat",
    "relu": "ReLU",
    "max_pool2d_with_indices": "max pool",
    "avg_pool2d": "average pool",
    "_adaptive_avg_pool2d": "average pool",
    "mean": "mean",
    "view": "reshape",
    "addmm": "linear",
    "mm": "product",
    "bmm": "product",
    "convolution": "conv",
    "constant_pad_nd": "padding",
    "unbind": "one by one",
    "upsample_nearest2d": "doubled",
}
BLOCKS = {
    "Residual": "residual block",
    "DualPath": "dual path block",
    "SqueezeExcite": "squeeze and excitation",
    "Concat": "parallel branches",
    "Sequential": "block",
}
OF_DETECTORS = {
    "FusionNode": "fusion",
    "BiFPNCell": "pyramid cell",
    "SharedHead": "head of all levels",
    "DetectorHead": "heads of all levels",
}


def kind_of(step: Step) -> str:
    """Returns the kind of a step: conv for a layer with a matrix of weights, pool, layer, or operation."""
    if not step.call.is_layer:
        return "operation"
    if type(step.call.module).__name__ in POOLS:
        return "pool"
    weights = [weight for weight in step.call.module.parameters() if weight.ndim > 1]
    return "conv" if weights else "layer"


def words(step: Step) -> str:
    """Returns a layer or an operation in a line, as in the papers' tables: 3 x 3 conv, 64, /2."""
    if not step.call.is_layer:
        return _operation(step)
    name = type(step.call.module).__name__
    detail = detail_of(step.call.module).replace("stride ", "/")
    if name in ("AdaptiveAvgPool2d", "AdaptiveMaxPool2d"):
        kind = "average pool" if "Avg" in name else "max pool"
        return f"global {kind}" if detail == "to 1 x 1" else f"{kind} {detail}"
    label = LAYERS.get(name, name)
    if name == "StochasticDepth":
        detail = f"{float(detail):.2g}"
    if name == "LocalResponseNorm":
        detail = detail.split(",")[0]
    if re.match(r"\d+ x \d+", detail) and ("conv" in label or "pool" in label):
        kernel, *others = detail.split(", ")
        if "depthwise" in others:
            others.remove("depthwise")
            label = f"depthwise {label}"
        return ", ".join([f"{kernel} {label}", *others])
    if not detail or label == "padding":
        return label
    return f"{label}, {detail}" if label in ("linear", "group norm") else f"{label} {detail}"


def _operation(step: Step) -> str:
    if step.operation == "slice" and len(step.arguments) >= 3:
        dim, start, end = step.arguments[:3]
        size = f"{start or 0} to {'end' if end > 10**9 else end}"
        return f"{('batch', 'channels', 'rows', 'columns')[dim]} {size}" if 0 <= dim < 4 else size
    name = step.operation.rstrip("_")
    return OPERATIONS.get(name, name.strip("_"))


def is_gate(call: Call) -> bool:
    """Returns whether a module weighs channels by the whole image."""
    return type(call.module).__name__ == "SqueezeExcite"


def in_gate(step: Step | None) -> bool:
    """Returns whether a step works inside a gate."""
    return step is not None and any(map(is_gate, step.call.chain))


def product(step: Step) -> str:
    """Returns a convolution or a pool in few words, a gate in one word, and nothing for other steps."""
    if in_gate(step):
        return "squeeze-excite"
    if kind_of(step) not in ("conv", "pool"):
        return ""
    return words(step).replace(" depthwise conv", " depthwise").replace(" standardised conv", "").replace(" conv", "")
