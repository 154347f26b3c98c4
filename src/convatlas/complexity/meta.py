"""Operations on the meta device, where tensors have shapes and no values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
TRAINING = 5  # the place of this argument of a batch norm


def carried_out(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Returns the result of an operation.

    A batch norm in eval mode gives a tensor like its input, and no statistics. To find that out, torch works through
    the formula, which takes half of the time that counting a network needs.
    """
    given = args[0] if args else None
    if isinstance(given, Tensor) and given.is_meta and _uses_running_statistics(func, args):
        return torch.empty_like(given), given.new_empty(0), given.new_empty(0)
    return func(*args, **kwargs)


def _uses_running_statistics(func: Any, args: tuple[Any, ...]) -> bool:
    """Returns whether the operation is a batch norm in eval mode."""
    if func is aten._native_batch_norm_legit_no_training.default:
        return True
    return func is aten.native_batch_norm.default and args[TRAINING] is False
