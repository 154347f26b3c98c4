"""The receptive field of every value in a network: which pixels of the image it can depend on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from convatlas.complexity.axes import Axis
from convatlas.complexity.field_rules import Call, Field, field_after, gathers, is_spread
from convatlas.complexity.products import operation_name
from convatlas.device.meta import Watcher, carried_out

PIXEL: Field = (Axis(0, 0, 1), Axis(0, 0, 1))
CONSTANT = {"zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full"}


class Fields(Watcher):
    """Follows the receptive fields through every operation that is carried out while it is entered.

    Values without rows and columns have the field of all the values that they were made of. What an operation does to
    the field follows from its window, and those of `LOCAL` leave it as it is; after any other, as transposed
    convolutions, resizing and permuting, it is not known. What gathers the whole image does not count: the means of
    group, layer and instance norms, and a factor of 1 x 1 that is spread over an image, the gate of
    squeeze-and-excitation; `gathers` says that there was one. Batch norms work value by value in eval mode.
    """

    def __init__(self, image: Tensor, *, made: Callable[[str, Tensor], None] | None = None) -> None:
        """Tells `made` the name of every operation on values of the image, and each of its results."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._made = made
        self.gathers = False
        self._fields = WeakTensorKeyDictionary()
        self._others = WeakTensorKeyDictionary()  # tensors that do not depend on the image
        self._fields[image] = PIXEL

    def of(self, tensor: Tensor) -> Field | None:
        """Returns the field of a tensor's values; None where they do not depend on the image, or it is not known."""
        field: Field | None = self._fields.get(tensor)  # type: ignore[no-untyped-call]
        return field

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        known = [(value, self.of(value)) for value in inputs if value in self._fields]
        result = carried_out(func, args, kwargs)
        made = known and operation_name(func) not in CONSTANT
        call = Call(func, args, kwargs)
        for output in tree_leaves(result):
            if not isinstance(output, Tensor):
                continue
            if not made:
                self._others[output] = None
                continue
            self.gathers |= gathers(call) or any(is_spread(value, output) for value, _ in known)
            self._fields[output] = field_after(call, known, output)
            if func._schema.is_mutable:
                self._written(output)
            if self._made is not None:
                self._made(func.overloadpacket.__name__, output)
        return result

    def _written(self, output: Tensor) -> None:
        """Gives the other tensors in the written memory the same field, or none if they are no equal view."""
        place = output.untyped_storage()._cdata
        for tensor in (*self._fields, *self._others):
            if tensor is not output and tensor.untyped_storage()._cdata == place:
                self._fields[tensor] = self._fields[output] if _lies_as(tensor, output) else None


def _lies_as(tensor: Tensor, other: Tensor) -> bool:
    """Returns whether every value of a tensor lies where that of the same indices of the other lies."""
    places = [(each.shape, each.stride(), each.storage_offset()) for each in (tensor, other)]
    return places[0] == places[1]
