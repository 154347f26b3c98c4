"""The receptive field of every value in a network: which pixels of the image it can depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from convatlas.complexity.meta import carried_out

aten = torch.ops.aten


@dataclass(frozen=True)
class Axis:
    """Along rows or columns: value i depends on the pixels from `low + i * stride` to `high + i * stride`.

    Pixels outside the image are padding. Araujo, Norris and Sim 2019, https://doi.org/10.23915/distill.00021.

    >>> pixel = Axis(0, 0, 1)
    >>> pixel.window(7, stride=2, before=3).window(3, stride=2, before=1)
    Axis(low=-5, high=5, stride=4)
    """

    low: int
    high: int
    stride: int

    @property
    def size(self) -> int:
        """Pixels of the field."""
        return self.high - self.low + 1

    def window(self, size: int, *, stride: int = 1, before: int = 0, dilation: int = 1) -> Axis:
        """After a window of so many values, moved by `stride`, over values with `before` more in front of them."""
        low = self.low - before * self.stride
        return Axis(low, self.high + (dilation * (size - 1) - before) * self.stride, self.stride * stride)

    def whole(self, count: int) -> Axis:
        """After all of `count` values became one."""
        return self.window(count, stride=count)

    def union(self, other: Axis) -> Axis:
        """Where both are added or concatenated."""
        return Axis(min(self.low, other.low), max(self.high, other.high), max(self.stride, other.stride))

    def seen(self, index: int, pixels: int) -> tuple[int, int]:
        """The first and the last of the image's `pixels` on which value `index` can depend."""
        start = index * self.stride
        return max(0, self.low + start), min(pixels - 1, self.high + start)


Field = tuple[Axis, Axis]  # rows, columns
PIXEL: Field = (Axis(0, 0, 1), Axis(0, 0, 1))


class Fields(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the receptive fields through every operation that is carried out while it is entered.

    Values without rows and columns have the field of all the values that they were made of. What an operation does to
    the field follows from its window, and those of `LOCAL` leave it as it is; after any other, as transposed
    convolutions, resizing and permuting, it is not known. What gathers the whole image does not count: the means of
    group, layer and instance norms, and a factor of 1 x 1 that is spread over an image, the gate of
    squeeze-and-excitation; `gathers` says that there was one. Batch norms work value by value in eval mode.
    """

    def __init__(self, image: Tensor, *, made: Callable[[str, Tensor], None] | None = None) -> None:
        """`made` is told the name of every operation on values of the image, and each of its results."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._made = made
        self.gathers = False
        self._fields = WeakTensorKeyDictionary()
        self._others = WeakTensorKeyDictionary()  # tensors that do not depend on the image
        self._fields[image] = PIXEL

    def of(self, tensor: Tensor) -> Field | None:
        """The field of a tensor's values; None where they do not depend on the image, or it is not known."""
        field: Field | None = self._fields.get(tensor)  # type: ignore[no-untyped-call]
        return field

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        known = [(value, self.of(value)) for value in inputs if value in self._fields]
        result = carried_out(func, args, kwargs)
        made = known and _name(func) not in CONSTANT
        for output in tree_leaves(result):
            if not isinstance(output, Tensor):
                continue
            if not made:
                self._others[output] = None
                continue
            self.gathers |= _gathers(func, args) or any(_is_spread(value, output) for value, _ in known)
            self._fields[output] = _after(func, args, known, output)
            if func._schema.is_mutable:
                self._written(output)
            if self._made is not None:
                self._made(func.overloadpacket.__name__, output)
        return result

    def _written(self, output: Tensor) -> None:
        """What else lies in the memory that was written to has the same field, or if it is no equal view, none."""
        place = output.untyped_storage()._cdata
        for tensor in (*self._fields, *self._others):
            if tensor is not output and tensor.untyped_storage()._cdata == place:
                equal = tensor.shape == output.shape and tensor.storage_offset() == output.storage_offset()
                self._fields[tensor] = self._fields[output] if equal else None


def _name(func: Any) -> str:
    """An operation's name, the same where it works in place."""
    name: str = func.overloadpacket.__name__
    return name if name.startswith("__") else name.rstrip("_")


def _gathers(func: Any, args: Sequence[Any]) -> bool:
    """Whether a norm takes its mean from the image: a batch norm does in training, and as an instance norm."""
    name = _name(func)
    return name in ("native_group_norm", "native_layer_norm") or ("batch_norm" in name and any(a is True for a in args))


def _after(
    func: Any, args: Sequence[Any], known: Sequence[tuple[Tensor, Field | None]], output: Tensor
) -> Field | None:
    """The field of an operation's output, from those of the inputs that depend on the image."""
    spread = [pair for pair in known if not _is_spread(pair[0], output)] or known
    fields = [field for _, field in spread if field is not None]
    if len(fields) < len(spread):
        return None
    rule = RULES.get(func.overloadpacket)
    if rule is not None:
        return rule(fields[0], known[0][0], args, output)
    vectors = all(_sides(values) == (1, 1) for values in (output, *(values for values, _ in spread)))
    if _name(func) not in LOCAL and not vectors:
        return None
    reshaped = [_reshaped(values, field, output) for (values, _), field in zip(spread, fields, strict=True)]
    found = [field for field in reshaped if field is not None]
    return _united(found, output) if len(found) == len(reshaped) else None


def _is_spread(values: Tensor, output: Tensor) -> bool:
    """Whether one value a channel is spread over an image."""
    return values.ndim == output.ndim >= 4 and _sides(values) == (1, 1) != _sides(output)


def _united(fields: Sequence[Field], output: Tensor) -> Field | None:
    """The field of all together; where neighbours are differently far apart it is not one for all of several values."""
    first, *others = fields
    for other in others:
        for ours, theirs, count in zip(first, other, _sides(output), strict=True):
            if ours.stride != theirs.stride and count > 1:
                return None
        first = first[0].union(other[0]), first[1].union(other[1])
    return first


def _reshaped(values: Tensor, field: Field, output: Tensor) -> Field | None:
    """Of all rows or columns in one, the field of all; unknown where there are others than before."""
    sides, after = _sides(values), _sides(output)
    if any(now not in (1, before) for before, now in zip(sides, after, strict=True)):
        return None
    rows, columns = (
        axis if before == now else axis.whole(before) for axis, before, now in zip(field, sides, after, strict=True)
    )
    return rows, columns


def _sides(values: Tensor) -> tuple[int, int]:
    """Rows and columns, of one map too; one of each where there are none."""
    return (values.shape[-2], values.shape[-1]) if values.ndim >= 3 else (1, 1)


# ---------------------------------------------------------------------------------------------------------------- rules


def _both(values: Any) -> tuple[int, int]:
    """Rows and columns of an argument, which may be one number for both."""
    if isinstance(values, int):
        return values, values
    return (values[-2], values[-1]) if len(values) > 1 else (values[0], values[0])


def _windowed(field: Field, sizes: Any, strides: Any, before: Any, dilation: Any = 1) -> Field:
    pairs = zip(field, _both(sizes), _both(strides), _both(before), _both(dilation), strict=True)
    rows, columns = (axis.window(s, stride=m, before=b, dilation=d) for axis, s, m, b, d in pairs)
    return rows, columns


def _convolution(field: Field, _values: Tensor, args: Sequence[Any], _output: Tensor) -> Field | None:
    _image, weight, _bias, stride, padding, dilation, transposed, *_ = args
    if transposed or weight.ndim != 4:
        return None
    return _windowed(field, weight.shape[-2:], stride, padding, dilation)


def _pool(field: Field, _values: Tensor, args: Sequence[Any], _output: Tensor) -> Field:
    """Kernel, stride (none given: the kernel), padding, and for max pooling dilation."""
    _image, kernel, stride, padding, dilation = (*args, *(None,) * 5)[:5]
    dilation = dilation if isinstance(dilation, list | tuple) else 1
    return _windowed(field, kernel, stride or kernel, padding or 0, dilation)


def _average_pool(field: Field, values: Tensor, args: Sequence[Any], output: Tensor) -> Field:
    """As max pooling, but for what comes after the padding."""
    return _pool(field, values, args[:4], output)


def _adaptive_pool(field: Field, values: Tensor, _args: Sequence[Any], output: Tensor) -> Field | None:
    """Windows that cover the image evenly; where they do not divide it, the largest of them."""
    if any(size < count for size, count in zip(_sides(values), _sides(output), strict=True)):
        return None
    axes = []
    for axis, size, count in zip(field, _sides(values), _sides(output), strict=True):
        stride = size // count
        axes.append(
            axis.window(max(-(-size * (i + 1) // count) - size * i // count for i in range(count)), stride=stride)
        )
    return axes[0], axes[1]


def _padded(field: Field, _values: Tensor, args: Sequence[Any], _output: Tensor) -> Field:
    """The padding is given from the last dimension on: left, right, top, bottom."""
    left, _right, top, _bottom = (*args[1], 0, 0, 0)[:4]
    rows, columns = field
    return rows.window(1, before=top), columns.window(1, before=left)


def _slice(field: Field, values: Tensor, args: Sequence[Any], _output: Tensor) -> Field:
    """A part of the rows or columns begins later, and may leave some out."""
    _values, dim, start, _end, step = (*args, *(None,) * 5)[:5]
    place = (dim or 0) % values.ndim - (values.ndim - 2)
    if values.ndim < 3 or place < 0:
        return field
    axes = list(field)
    first = min(max((start or 0) + (values.shape[-2 + place] if (start or 0) < 0 else 0), 0), values.shape[-2 + place])
    axes[place] = axes[place].window(1, stride=step or 1, before=-first)
    return axes[0], axes[1]


def _permuted(field: Field, values: Tensor, _args: Sequence[Any], output: Tensor) -> Field | None:
    """Known where rows and columns are neither: there only their number would tell where they went."""
    return field if _sides(values) == _sides(output) == (1, 1) else None


CONSTANT = {"zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full"}
LOCAL_NAMES = """
abs add addcdiv addcmul alias amax amin bernoulli cat celu clamp clamp_max clamp_min clone contiguous copy cos detach
div elu eq erf exp expand fill ge gelu gt hardshrink hardsigmoid hardswish hardtanh le leaky_relu lerp lift_fresh
linalg_vector_norm log log1p logical_not logit lt masked_fill max maximum mean min minimum mish mul native_dropout
native_group_norm native_layer_norm ne neg pow prelu _prelu_kernel reciprocal relu relu6 rsqrt rsub select sigmoid sign
silu sin softplus softshrink split split_with_sizes sqrt square squeeze stack sub sum tanh threshold _to_copy unbind
unsqueeze _unsafe_view var var_mean view where cudnn_batch_norm native_batch_norm _native_batch_norm_legit
_native_batch_norm_legit_no_training
"""
LOCAL = frozenset(LOCAL_NAMES.split())  # on each value by itself, on channels, or on rows and columns as a whole
RULES = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _pool,
    aten.avg_pool2d: _average_pool,
    aten.avg_pool3d: _average_pool,
    aten._adaptive_avg_pool2d: _adaptive_pool,
    aten.adaptive_max_pool2d: _adaptive_pool,
    aten.constant_pad_nd: _padded,
    aten.slice: _slice,
    aten.reflection_pad2d: _padded,
    aten.replication_pad2d: _padded,
    aten.permute: _permuted,
    aten.transpose: _permuted,
}
