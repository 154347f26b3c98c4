"""The multiply-adds of single operations: convolutions and matrix products, by whatever name they are called."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from convatlas.device.meta import Watcher

aten = torch.ops.aten

Shape = Sequence[int]


class Products(Watcher):
    """Counts the multiply-adds of all operations that are carried out while it is entered.

    `missed` are the operations that may multiply and add, but for which there is no formula: one entry each time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self.missed: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = formula_of(func)
        if formula is None and operation_name(func) not in WHOLE:
            with self:  # an operation that consists of others is counted by them
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if formula is not None:
            self.macs += formula(*args, **kwargs, out_val=result) // 2
        elif not multiplies_nothing(func):
            self.missed.append(operation_name(func))
        return result


def operation_name(func: Any) -> str:
    """Returns the name of an operation, the same where it works in place: `relu`; `mine::filter` for a user's own."""
    name: str = func.overloadpacket.__name__
    name = name if name.startswith("__") else name.rstrip("_")
    return name if func.namespace in OWN else f"{func.namespace}::{name}"


@cache
def multiplies_nothing(func: Any) -> bool:
    """Returns whether an operation is none of those that multiply and add: it works value by value, moves, or gathers.

    >>> aten = torch.ops.aten
    >>> [multiplies_nothing(each) for each in (aten.relu_.default, aten.view.default, aten._fft_r2c.default)]
    [True, True, False]
    """
    name, packet = operation_name(func), _packet(func)
    overloads = [func, *(getattr(packet, overload) for overload in packet.overloads())]
    moves = name in FREE or name.endswith("_copy") or any(each.is_view for each in overloads)
    return moves or any(torch.Tag.pointwise in each.tags for each in overloads)


@cache
def formula_of(func: Any) -> Callable[..., int] | None:
    """Returns the formula of an operation's FLOPs, the same where it works in place; None where there is none."""
    return FORMULAS.get(func.overloadpacket) or FORMULAS.get(_packet(func))


def _packet(func: Any) -> Any:
    """Returns all forms of an operation that does not work in place."""
    return getattr(aten, operation_name(func), func.overloadpacket) if func.namespace in OWN else func.overloadpacket


# ------------------------------------------------------------------------------------------------------------- formulas


def _shapes(formula: Callable[..., int]) -> Callable[..., int]:
    """Returns a formula of tensors, made from one of their shapes."""

    def of_tensors(*args: Any, out_val: Any = None, **kwargs: Any) -> int:
        shapes = [value.shape if isinstance(value, Tensor) else value for value in args]
        return formula(*shapes, out=out_val.shape)

    return of_tensors


def _by_first(first: Shape, *_: Any, out: Shape) -> int:
    """Counts matrix times vector, or vector times vector: every value of the first is multiplied once."""
    return 2 * math.prod(first)


def _by_second(_bias: Shape, matrix: Shape, *_: Any, out: Shape) -> int:
    return 2 * math.prod(matrix)


def _by_output(*_: Any, out: Shape) -> int:
    """Counts the product of a column and a row that is added to a matrix."""
    return 2 * math.prod(out)


def _batches(_bias: Shape, left: Shape, right: Shape, *_: Any, out: Shape) -> int:
    return 2 * math.prod(left) * right[-1]


def _matrices(left: Shape, right: Shape, *_: Any, out: Shape) -> int:
    return 2 * math.prod(left) * right[-1]


def _over_time(_image: Shape, weight: Shape, *_: Any, out: Shape) -> int:
    """Counts a convolution of (time, batch, channels) with weights of (kernel, channels, outputs)."""
    return 2 * out[0] * out[1] * math.prod(weight)


def _grid(theta: Shape, size: Shape, *_: Any, out: Shape) -> int:
    """Counts the product of a matrix for each image with the place of each of its pixels."""
    return _by_output(out=out) * theta[-1]


def _trilinear(*args: Any, out: Shape) -> int:
    """Counts two products in turn, as torch takes them: the first over what the third input lacks.

    `nn.Bilinear` consists of this; an einsum of the same has as many multiply-adds.
    """
    *inputs, summed = args[:7]
    shapes = [_with_ones(shape, places) for shape, places in zip(inputs[:3], inputs[3:], strict=True)]
    sizes = [max(each) for each in zip(*shapes, strict=True)]
    early = set(summed) & set(inputs[5])
    first: int = math.prod(max(pair) for pair in zip(*shapes[:2], strict=True))
    then: int = math.prod(size for place, size in enumerate(sizes) if place not in early)
    return 2 * (first + then)


def _with_ones(shape: Shape, places: Sequence[int]) -> list[int]:
    """Returns the shape with a dimension of one at each of the places."""
    sides = list(shape)
    for place in sorted(places):
        sides.insert(place, 1)
    return sides


def _convolution_backward(
    grad: Tensor, image: Tensor, weight: Tensor, _bias: Any, *rest: Any, out_val: Any = None, **_: Any
) -> int:
    """Counts the gradients that are wanted, of images and of weights: each takes as many as the convolution itself.

    torch's own formula has the weights of a convolution in g groups take g times too many (as of 2.13).
    """
    _stride, _padding, _dilation, transposed, _output_padding, _groups, wanted = rest
    places = (image if transposed else grad).shape
    return int(sum(wanted[:2]) * 2 * places[0] * math.prod(places[2:]) * weight.numel())


FORMULAS: dict[Any, Callable[..., int]] = {  # FLOPs, twice the multiply-adds, as torch has them
    **flop_registry,
    aten.convolution_backward: _convolution_backward,
    aten.mv: _shapes(_by_first),
    aten.dot: _shapes(_by_first),
    aten.vdot: _shapes(_by_first),
    aten.addmv: _shapes(_by_second),
    aten.addr: _shapes(_by_output),
    aten.addbmm: _shapes(_batches),
    aten._addmm_activation: _shapes(_batches),
    aten._int_mm: _shapes(_matrices),
    aten.conv_tbc: _shapes(_over_time),
    aten.affine_grid_generator: _shapes(_grid),
    aten._trilinear: _shapes(_trilinear),
}
OWN = ("aten", "prim", "prims")
WHOLE = ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d")  # torch would compute where each pixel lies
FREE_NAMES = """
_adaptive_avg_pool2d _adaptive_avg_pool3d _assert_async _assert_scalar _assert_tensor_metadata _batch_norm_no_update
_batch_norm_with_update _batch_norm_with_update_functional _chunk_cat _linalg_check_errors _local_scalar_dense
_log_softmax _masked_scale _native_batch_norm_legit _native_batch_norm_legit_functional
_native_batch_norm_legit_no_training _prelu_kernel _resize_output _safe_softmax _softmax _standard_gamma _to_dense
_unique _unique2 _unsafe_index _unsafe_index_put _unsafe_masked_index _unsafe_masked_index_put_accumulate _unsafe_view
_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d _weight_norm_interface adaptive_max_pool2d
adaptive_max_pool3d all amax amin aminmax any arange argmax argmin argsort as_strided_scatter avg_pool2d avg_pool3d
bernoulli binary_cross_entropy binary_cross_entropy_with_logits bincount block_diag bucketize cat cauchy channel_shuffle
clone col2im complex constant_pad_nd copy count_nonzero cudnn_batch_norm cummax cummin cumprod cumsum detach device
diag_embed diagonal_scatter dim embedding empty empty_like empty_permuted empty_strided equal exponential eye fill flip
floor_divide fractional_max_pool2d fractional_max_pool3d full full_like gather geometric glu hann_window hardswish histc
huber_loss im2col index index_add index_copy index_fill index_put index_reduce index_select is_same_size isin item
kthvalue layout lift lift_fresh linalg_vector_norm linspace log_normal log_sigmoid_forward logcumsumexp logspace
logsumexp masked_fill masked_scatter masked_select max max_pool2d_with_indices max_pool3d_with_indices max_unpool2d
max_unpool3d mean median min mode mse_loss multi_margin_loss multilabel_margin_loss_forward multinomial nanmedian nansum
native_batch_norm native_dropout native_group_norm native_layer_norm new_empty new_empty_strided new_full new_ones
new_zeros nll_loss2d_forward nll_loss_forward nonzero nonzero_static norm normal numel ones ones_like pixel_shuffle
pixel_unshuffle poisson polar prod rand rand_like randint randint_like randn randn_like random randperm reflection_pad1d
reflection_pad2d reflection_pad3d renorm repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d
resize resize_as roll rot90 rrelu_with_noise rrelu_with_noise_functional scalar_tensor scatter scatter_add
scatter_reduce searchsorted select_scatter set size slice_scatter smooth_l1_loss soft_margin_loss sort split_with_sizes
stack std std_mean storage_offset stride sum sym_numel sym_size sym_stride take topk trace tril tril_indices triu
triu_indices uniform unique_consecutive unique_dim unsafe_split unsafe_split_with_sizes upsample_nearest1d
upsample_nearest2d upsample_nearest3d var var_mean zero zeros zeros_like
"""
FREE = frozenset(FREE_NAMES.split())  # what is not marked as working value by value, or as a view, by torch itself
