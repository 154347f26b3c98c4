"""Rules of receptive fields: what a single operation does to the fields of the values that it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convatlas.complexity.axes import Axis
from convatlas.complexity.products import operation_name

aten = torch.ops.aten

Field = tuple[Axis, Axis]  # rows, columns


@dataclass(frozen=True)
class Call:
    """An operation with its arguments."""

    func: Any
    args: Sequence[Any]
    kwargs: dict[str, Any]

    @property
    def name(self) -> str:
        """The operation's name, the same where it works in place."""
        return operation_name(self.func)

    def argument(self, name: str) -> Any:
        """Returns the argument of this name; None where it was not given."""
        names = [argument.name for argument in self.func._schema.arguments]
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}.get(name)


def gathers(call: Call) -> bool:
    """Returns whether a norm takes its mean from the image: a batch norm does in training, and as an instance norm."""
    if call.name in ("native_group_norm", "native_layer_norm"):
        return True
    return "batch_norm" in call.name and any(argument is True for argument in call.args)


def is_spread(values: Tensor, output: Tensor) -> bool:
    """Returns whether one value a channel is spread over an image."""
    return values.ndim == output.ndim >= 4 and _sides(values) == (1, 1) != _sides(output)


def field_after(call: Call, known: Sequence[tuple[Tensor, Field | None]], output: Tensor) -> Field | None:
    """Returns the field of an operation's output, from those of the inputs that depend on the image."""
    spread = [pair for pair in known if not is_spread(pair[0], output)] or known
    pairs = [(values, field) for values, field in spread if field is not None]
    if len(pairs) < len(spread) or torch.Tag.inplace_view in call.func.tags:
        return None
    rule = RULES.get(call.func.overloadpacket)
    if rule is not None:
        values, field = pairs[0]
        return rule(field, values, call.args, output) if len(pairs) == 1 and values is call.args[0] else None
    vectors = all(_sides(values) == (1, 1) for values in (output, *(values for values, _ in spread)))
    if not vectors and (call.name not in LOCAL or _turns(call, pairs[0][0], output)):
        return None
    kept = _viewed if call.name in VIEWS else _reshaped
    found = [field for field in (kept(values, field, output) for values, field in pairs) if field is not None]
    return _united(found, output) if len(found) == len(pairs) else None


def _turns(call: Call, values: Tensor, output: Tensor) -> bool:
    """Returns whether the last two dimensions are others than before, because one of them came or went."""
    dims = call.argument("dim")
    if values.ndim == output.ndim or call.name in VIEWS or dims is None:
        return False
    most = max(values.ndim, output.ndim)
    return any(dim % most >= most - 2 for dim in (dims if isinstance(dims, list | tuple) else [dims]))


def _united(fields: Sequence[Field], output: Tensor) -> Field | None:
    """Returns the field of all together; none for several values whose neighbours are differently far apart."""
    first, *others = fields
    for other in others:
        for ours, theirs, count in zip(first, other, _sides(output), strict=True):
            if ours.stride != theirs.stride and count > 1:
                return None
        first = first[0].union(other[0]), first[1].union(other[1])
    return first


def _reshaped(values: Tensor, field: Field, output: Tensor) -> Field | None:
    """Returns the field of all rows or columns that became one; unknown where there are others than before."""
    sides, after = _sides(values), _sides(output)
    if any(now not in (1, before) for before, now in zip(sides, after, strict=True)):
        return None
    rows, columns = (
        axis if before == now else axis.whole(before) for axis, before, now in zip(field, sides, after, strict=True)
    )
    return rows, columns


def _viewed(values: Tensor, field: Field, output: Tensor) -> Field | None:
    """Returns the field of a view: rows or columns are those of before where they lie in memory as they lay."""
    for place, count in zip((-2, -1), _sides(output), strict=True):
        if count > 1 and (values.ndim < 3 or values.stride(place) != output.stride(place)):
            return None
    return _reshaped(values, field, output)


def _sides(values: Tensor) -> tuple[int, int]:
    """Returns the rows and the columns, of one map too; one of each where there are none."""
    return (values.shape[-2], values.shape[-1]) if values.ndim >= 3 else (1, 1)


# -------------------------------------------------------------------------------------------------------------- windows


def _both(values: Any) -> tuple[int, int]:
    """Returns rows and columns of an argument, which may be one number for both."""
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
    """Reads kernel, stride (none given: the kernel), padding, and for max pooling dilation."""
    _image, kernel, stride, padding, dilation = (*args, *(None,) * 5)[:5]
    dilation = dilation if isinstance(dilation, list | tuple) else 1
    return _windowed(field, kernel, stride or kernel, padding or 0, dilation)


def _average_pool(field: Field, values: Tensor, args: Sequence[Any], output: Tensor) -> Field:
    """Reads the same as of max pooling, but nothing after the padding."""
    return _pool(field, values, args[:4], output)


def _adaptive_pool(field: Field, values: Tensor, _args: Sequence[Any], output: Tensor) -> Field | None:
    """Returns the field after windows that cover the image evenly."""
    sides, counts = _sides(values), _sides(output)
    if any(size < count for size, count in zip(sides, counts, strict=True)):
        return None
    rows, columns = (axis.evenly(size, windows=count) for axis, size, count in zip(field, sides, counts, strict=True))
    return rows, columns


def _padded(field: Field, _values: Tensor, args: Sequence[Any], _output: Tensor) -> Field:
    """Reads the padding from the last dimension on: left, right, top, bottom."""
    left, _right, top, _bottom = (*args[1], 0, 0, 0)[:4]
    rows, columns = field
    return rows.window(1, before=top), columns.window(1, before=left)


def _mirrored(field: Field, values: Tensor, args: Sequence[Any], _output: Tensor) -> Field:
    (left, right, top, bottom), (height, width), (rows, columns) = args[1], _sides(values), field
    return rows.mirrored(top, bottom, count=height), columns.mirrored(left, right, count=width)


def _repeated(field: Field, values: Tensor, args: Sequence[Any], _output: Tensor) -> Field:
    (left, right, top, bottom), (height, width), (rows, columns) = args[1], _sides(values), field
    return rows.repeated(top, bottom, count=height), columns.repeated(left, right, count=width)


def _slice(field: Field, values: Tensor, args: Sequence[Any], _output: Tensor) -> Field:
    """Returns the field of a part, which begins later and may leave rows or columns out."""
    _values, dim, start, _end, step = (*args, *(None,) * 5)[:5]
    place = (dim or 0) % values.ndim - (values.ndim - 2)
    if values.ndim < 3 or place < 0:
        return field
    axes = list(field)
    first = min(max((start or 0) + (values.shape[-2 + place] if (start or 0) < 0 else 0), 0), values.shape[-2 + place])
    axes[place] = axes[place].window(1, stride=step or 1, before=-first)
    return axes[0], axes[1]


VIEW_NAMES = """
alias detach expand permute select split split_with_sizes squeeze t transpose unbind unsqueeze _unsafe_view view
"""
VIEWS = frozenset(VIEW_NAMES.split())
LOCAL_NAMES = """
abs add addcdiv addcmul alias amax amin bernoulli cat celu channel_shuffle clamp clamp_max clamp_min clone contiguous
copy cos detach div elu eq erf exp expand fill ge gelu gt hardshrink hardsigmoid hardswish hardtanh le leaky_relu lerp
lift_fresh linalg_vector_norm log log1p logical_not logit lt masked_fill max maximum mean min minimum mish mul
native_dropout native_group_norm native_layer_norm ne neg pow prelu _prelu_kernel reciprocal relu relu6 rsqrt rsub
sigmoid sign silu sin softplus softshrink sqrt square stack sub sum tanh threshold _to_copy var var_mean where
cudnn_batch_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
"""
LOCAL = VIEWS | set(LOCAL_NAMES.split())  # on each value by itself, on channels, or on rows and columns as a whole
RULES: dict[Any, Callable[[Field, Tensor, Sequence[Any], Tensor], Field | None]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _pool,
    aten.avg_pool2d: _average_pool,
    aten.avg_pool3d: _average_pool,
    aten._adaptive_avg_pool2d: _adaptive_pool,
    aten.adaptive_max_pool2d: _adaptive_pool,
    aten.constant_pad_nd: _padded,
    aten.slice: _slice,
    aten.reflection_pad2d: _mirrored,
    aten.replication_pad2d: _repeated,
}
