"""Shapes of results on the meta device: found here as torch finds them, without its compiler."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from convatlas.device.meta import RULES, carried_out

aten = torch.ops.aten


def values(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


IMAGES, CHANNELS, LOGITS = values(2, 6, 4, 5), values(6), values(8, 10)
LABELS = values(8, dtype=torch.int64)
CALLS: list[tuple[Any, tuple[Any, ...]]] = [
    *((func, (IMAGES,)) for func in (aten.relu.default, aten.hardswish.default, aten.tanh.default, aten.relu_.default)),
    *((func, (IMAGES, 0.0, 6.0)) for func in (aten.hardtanh.default, aten.hardtanh_.default)),
    (aten.hardswish_.default, (IMAGES,)),
    (aten.relu.default, (values(2, 6, 4, 5).to(memory_format=torch.channels_last),)),
    (aten.threshold_backward.default, (IMAGES, IMAGES, 0)),
    (aten.hardtanh_backward.default, (IMAGES, IMAGES, 0.0, 6.0)),
    (aten.sigmoid_backward.default, (IMAGES, IMAGES)),
    (aten.tanh_backward.default, (IMAGES, IMAGES)),
    (aten._log_softmax.default, (LOGITS, 1, False)),
    (aten._log_softmax_backward_data.default, (LOGITS, LOGITS, 1, torch.float32)),
    *((func, (IMAGES, IMAGES)) for func in (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)),
    (aten.mul.Tensor, (IMAGES, values(2, 6, 1, 1))),
    (aten.mul.Tensor, (values(2, 6, 1, 1), IMAGES)),
    (aten.mul.Tensor, (IMAGES, values(6, 1, 1))),
    (aten.add.Tensor, (values(5), IMAGES)),
    (aten.add.Tensor, (IMAGES, values())),
    (aten.add.Tensor, (IMAGES, values(2, 6, 4, 5, dtype=torch.float64))),
    (aten.add.Tensor, (values(2, 3, dtype=torch.int64), values(2, 3))),
    (aten.mul.Tensor, (values(2, 3, dtype=torch.bfloat16), values(3, dtype=torch.bfloat16))),
    (aten.mul.Scalar, (IMAGES, 2.5)),
    (aten.div.Scalar, (IMAGES, 2)),
    (aten.mul.Scalar, (IMAGES, 2j)),
    (aten.div.Scalar, (values(3, dtype=torch.int64), 2)),
    (aten.mean.dim, (IMAGES, [2, 3])),
    (aten.mean.dim, (IMAGES, [-1, -2], True)),
    (aten.mean.dim, (IMAGES, None)),
    (aten.mean.dim, (IMAGES, [1])),
    (aten.cat.default, ([IMAGES, IMAGES],)),
    (aten.cat.default, ([IMAGES, values(2, 3, 4, 5)], 1)),
    (aten.cat.default, ([IMAGES, values(2, 6, 4, 1)], -1)),
    (aten.cat.default, ([IMAGES, values(0)], 1)),  # an old permission of torch
    (aten.addmm.default, (values(5), values(2, 3), values(3, 5))),
    (aten.addmm.default, (values(2, 5), values(2, 3), values(3, 5))),
    (aten.native_batch_norm.default, (IMAGES, *[CHANNELS] * 4, True, 0.1, 1e-5)),
    (aten.native_batch_norm.default, (IMAGES, None, None, None, None, True, 0.1, 1e-5)),
    (aten._native_batch_norm_legit.default, (IMAGES, *[CHANNELS] * 4, True, 0.1, 1e-5)),
    (aten.native_batch_norm_backward.default, (IMAGES, IMAGES, *[CHANNELS] * 5, True, 1e-5, [True, True, True])),
    *((aten.nll_loss_forward.default, (LOGITS, LABELS, None, reduction, -100)) for reduction in (0, 1, 2)),
    (aten.nll_loss_backward.default, (values(), LOGITS, LABELS, None, 1, -100, values())),
]


ON_CPU: list[tuple[Any, tuple[Any, ...]]] = [  # there torch makes what it does not make on the CPU
    (aten.native_batch_norm.default, (IMAGES, *[CHANNELS] * 4, False, 0.1, 1e-5)),
    (aten._native_batch_norm_legit_no_training.default, (IMAGES, *[CHANNELS] * 4, 0.1, 1e-5)),
    (aten.native_batch_norm_backward.default, (IMAGES, IMAGES, *[CHANNELS] * 5, True, 1e-5, [False, True, True])),
]


def described(result: Any) -> Any:
    """Shape, type and place in memory of every tensor."""
    if isinstance(result, Tensor):
        return result.shape, result.dtype, result.stride()
    return [described(each) for each in result] if isinstance(result, tuple | list) else result


@pytest.mark.parametrize(("func", "args"), CALLS, ids=[str(func) for func, _ in CALLS])
def test_results_are_as_torch_has_them(func: Any, args: tuple[Any, ...]) -> None:
    assert described(carried_out(func, args, {})) == described(func(*args))


@pytest.mark.parametrize(("func", "args"), ON_CPU, ids=[str(func) for func, _ in ON_CPU])
def test_results_are_as_on_the_cpu(func: Any, args: tuple[Any, ...]) -> None:
    there = [torch.ones(each.shape) if isinstance(each, Tensor) else each for each in args]
    assert described(carried_out(func, args, {})) == described(func(*there))


def test_every_rule_is_held_against_torch() -> None:
    assert {func for func, _ in CALLS + ON_CPU} == set(RULES)


def test_values_that_are_there_are_computed_with() -> None:
    assert carried_out(aten.relu.default, (torch.tensor([-1.0, 2.0]),), {}).tolist() == [0, 2]
    assert carried_out(aten.add.Tensor, (torch.ones(2), torch.ones(2)), {"alpha": 2}).tolist() == [3, 3]


@pytest.mark.parametrize(
    ("func", "args"),
    [
        (aten.add.Tensor, (IMAGES, values(2, 6, 4, 4))),
        (aten.cat.default, ([IMAGES, values(2, 6, 3, 3)], 1)),
        (aten.addmm.default, (values(5), values(2, 4), values(3, 5))),
        (aten.native_batch_norm.default, (IMAGES, *[values(5)] * 4, True, 0.1, 1e-5)),
        (aten._native_batch_norm_legit_no_training.default, (IMAGES, *[values(5)] * 4, 0.1, 1e-5)),
        (aten.nll_loss_forward.default, (LOGITS, values(7, dtype=torch.int64), None, 1, -100)),
    ],
)
def test_what_does_not_fit_is_refused_by_torch(func: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises((RuntimeError, AssertionError, ValueError)):
        carried_out(func, args, {})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "densenet_uva"])
def test_showing_a_network_imports_no_compiler(name: str) -> None:
    code = (
        f"import sys; from convatlas.cli import main; main(['show', {name!r}, '--json']); assert 'torch' in sys.modules"
    )
    code += "; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
