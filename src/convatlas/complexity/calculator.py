"""A calculator: the costs of layers that are written as text. The text is parsed, never carried out as code."""

from __future__ import annotations

import ast
import inspect
import math
import reprlib
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from convatlas.complexity.counting import count
from convatlas.complexity.parts import Complexity
from convatlas.errors import UsageError, unknown

EXAMPLE = "Conv2d(480, 48, 5, padding=2)"
MOST_VALUES = 10**12
MOST = 1_000_000  # channels and the like
NOT_LAYERS = ("container", "loss", "module", "rnn", "transformer", "sparse", "adaptive")  # files of torch.nn.modules
LAYERS: dict[str, type[nn.Module]] = {
    name: kind
    for name, kind in vars(nn).items()
    if inspect.isclass(kind) and issubclass(kind, nn.Module) and kind.__module__.split(".")[-1] not in NOT_LAYERS
}


def calculate(layers: Sequence[str], shape: str) -> Complexity:
    """Counts layers of `torch.nn` in turn, on an input that is written as 480x14x14, without the batch.

    Raises `UsageError` for text that is not a layer with literal arguments, and for an input that does not fit.

    >>> calculate(["Conv2d(480, 16, 1, bias=False)", "Conv2d(16, 48, 5, padding=2, bias=False)"], "480x14x14").macs
    5268480
    """
    network = nn.Sequential(*map(read_layer, layers)).eval()
    image = torch.empty(1, *read_shape(shape), device="meta")
    return count(network, image, name=" and ".join(layers) if len(layers) < 3 else "the chain")


def read_layer(text: str) -> nn.Module:
    """Returns a layer of `torch.nn` on the meta device, without memory: `Conv2d(480, 48, 5, padding=2)`.

    >>> read_layer("nn.Linear(4, 2)")
    Linear(in_features=4, out_features=2, bias=True)
    """
    name, arguments, keywords = _call(text)
    if name not in LAYERS:
        raise unknown("layer of torch.nn", name, LAYERS, hint=f"; for example {EXAMPLE}")
    if any(abs(number) > MOST for value in (*arguments, *keywords.values()) for number in _numbers(value)):
        raise UsageError(f"{_cut(text)} has a number above {MOST:,}")
    if wrong := {"device", "dtype"} & keywords.keys():
        raise UsageError(f"{_cut(text)} must not have {wrong.pop()}: layers are only counted, in float32")
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layer = LAYERS[name](*arguments, **keywords)
    except Exception as error:  # each layer has its own
        reason = str(error).splitlines()[0].replace(f"{name}.__init__()", name)
        raise UsageError(f"{_cut(text)} is not a layer: {reason}; for example {EXAMPLE}") from error
    if any(size < 1 for size in _numbers(getattr(layer, "kernel_size", 1))):
        raise UsageError(f"{_cut(text)} has a kernel without values")
    return layer


def read_shape(text: str) -> tuple[int, ...]:
    """Returns the shape of an input without the batch.

    >>> read_shape("480x14x14"), read_shape("25088")
    ((480, 14, 14), (25088,))
    """
    parts = text.replace(" ", "").lower().split("x")
    if not all(part.isascii() and part.isdigit() and len(part) < 16 and int(part) > 0 for part in parts):
        raise UsageError(
            f"the input {_cut(text)} must be channels x height x width, as 480x14x14, or one number of values"
        )
    shape = tuple(map(int, parts))
    if math.prod(shape) > MOST_VALUES:
        raise UsageError(f"the input {_cut(text)} has more than {MOST_VALUES:,} values")
    return shape


def _call(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Returns name, arguments and keywords of a call whose arguments are literals."""
    problem = UsageError(f"{_cut(text)} must be a layer of torch.nn with literal arguments, as {EXAMPLE}")
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise problem from error
    if not isinstance(call, ast.Call):
        raise problem
    name = ast.unparse(call.func).removeprefix("torch.").removeprefix("nn.")
    try:
        arguments = [ast.literal_eval(value) for value in call.args]
        keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise problem from error
    if not name.isidentifier() or None in keywords:  # None: **keywords
        raise problem
    return name, arguments, {str(key): value for key, value in keywords.items()}


def _numbers(value: Any) -> list[int]:
    return [each for each in (value if isinstance(value, tuple | list) else (value,)) if isinstance(each, int)]


def _cut(text: str) -> str:
    """Returns the text in quotation marks, shortened where it is long."""
    short = reprlib.Repr()
    short.maxstring = 60
    return short.repr(text)
