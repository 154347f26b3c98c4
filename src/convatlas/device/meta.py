"""Operations on the meta device, where tensors have shapes and no values.

For many operations torch works through formulas to find the shape of the result, and imports its compiler for that,
which takes more than a second. The shapes that the most frequent ones give are found here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that sees every operation while it is entered, for counts.

    Other modes are hidden from torch's compiler, which is imported for that.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


def carried_out(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Returns the result of an operation.

    >>> values = torch.empty(2, 3, device="meta")
    >>> carried_out(aten.relu.default, (values,), {}).shape
    torch.Size([2, 3])
    """
    rule = RULES.get(func)
    if rule is not None and not kwargs and args and isinstance(args[0], Tensor | list):
        first = args[0][0] if isinstance(args[0], list) else args[0]
        if first.is_meta and first.is_floating_point():
            result = rule(*args)
            if result is not None:
                return result
    return func(*args, **kwargs)


# ---------------------------------------------------------------------------------------------------------------- rules
# Each is given the arguments of its operation, and returns the result, or None where it does not know it.


def _alike(values: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(values)


def _in_place(values: Tensor, *_: Any) -> Tensor:
    return values


def _pair(values: Tensor, other: Tensor | float, *_: Any) -> Tensor | None:
    """Returns the sum or the product of two."""
    if not isinstance(other, Tensor):
        return None if isinstance(other, complex) else torch.empty_like(values)
    if other.dtype != values.dtype or other.ndim > values.ndim:
        return None
    pairs = list(zip(values.shape, (1,) * (values.ndim - other.ndim) + other.shape, strict=True))
    if any(one != another and 1 not in (one, another) for one, another in pairs):
        return None
    return torch.empty_like(values) if other.shape == values.shape else values.new_empty([max(pair) for pair in pairs])


def _mean(values: Tensor, dims: Sequence[int] | None, keepdim: bool = False) -> Tensor | None:
    if not dims or not values.ndim:
        return None
    gone = {dim % values.ndim for dim in dims}
    sides = enumerate(values.shape)
    return values.new_empty([1 if place in gone else side for place, side in sides if keepdim or place not in gone])


def _joined(values: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    first = values[0]
    sides = [list(each.shape) for each in values]
    if not first.ndim or any(each.dtype != first.dtype or each.ndim != first.ndim for each in values):
        return None
    joined = sum(each.pop(dim) for each in sides)
    if any(each != sides[0] for each in sides):
        return None
    sides[0].insert(dim % first.ndim, joined)
    return first.new_empty(sides[0])


def _matrix_product(bias: Tensor, left: Tensor, right: Tensor) -> Tensor | None:
    fits = left.ndim == right.ndim == 2 and left.shape[1] == right.shape[0] and bias.shape == right.shape[1:]
    return left.new_empty(left.shape[0], right.shape[1]) if fits else None


def _batch_norm(values: Tensor, weight: Tensor | None, _bias: Any, mean: Tensor | None, *rest: Any) -> Any:
    """Returns values, and the statistics in training; in eval mode there are none."""
    _variance, training, *_ = rest
    channels = values.shape[1:2]
    if any(each is not None and each.shape != channels for each in (weight, mean)):
        return None
    statistics = [values.new_empty(channels if training else 0) for _ in range(2)]
    return torch.empty_like(values), *statistics


def _batch_norm_in_eval_mode(values: Tensor, weight: Tensor | None, bias: Any, mean: Tensor, *rest: Any) -> Any:
    return _batch_norm(values, weight, bias, mean, rest[0], False)


def _batch_norm_backward(_grad: Tensor, values: Tensor, *rest: Any) -> Any:
    likes = torch.empty_like(values), *(values.new_empty(values.shape[1:2]) for _ in range(2))
    return tuple(like if wanted else None for like, wanted in zip(likes, rest[-1], strict=True))


def _loss(values: Tensor, labels: Tensor, _weight: Any, reduction: int, _ignored: int) -> Any:
    fits = reduction and values.ndim == 2 and labels.shape == values.shape[:1]
    return (values.new_empty(()), values.new_empty(())) if fits else None


def _loss_backward(_grad: Tensor, values: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(values)


RULES: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((aten.relu.default, aten.hardtanh.default, aten.hardswish.default, aten.tanh.default), _alike),
    **dict.fromkeys((aten.relu_.default, aten.hardtanh_.default, aten.hardswish_.default), _in_place),
    **dict.fromkeys((aten.threshold_backward.default, aten.hardtanh_backward.default), _alike),
    **dict.fromkeys((aten.sigmoid_backward.default, aten.tanh_backward.default), _alike),
    **dict.fromkeys((aten._log_softmax.default, aten._log_softmax_backward_data.default), _alike),
    **dict.fromkeys((aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor), _pair),
    **dict.fromkeys((aten.mul.Scalar, aten.div.Scalar), _pair),
    aten.mean.dim: _mean,
    aten.cat.default: _joined,
    aten.addmm.default: _matrix_product,
    aten.native_batch_norm.default: _batch_norm,
    aten._native_batch_norm_legit.default: _batch_norm,
    aten._native_batch_norm_legit_no_training.default: _batch_norm_in_eval_mode,
    aten.native_batch_norm_backward.default: _batch_norm_backward,
    aten.nll_loss_forward.default: _loss,
    aten.nll_loss_backward.default: _loss_backward,
}
