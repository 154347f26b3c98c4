"""Our networks against references that are written out step by step, and mistakes that the comparison must notice."""

from __future__ import annotations

import math
from types import ModuleType

import pytest

from comparison import NOTICED, SAME, Mistake, Row, compared
from references import bit, branching, cifar, classic, dual_path, inception, inception_resnet, mobile, residual

FAMILIES: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (bit, branching, cifar, classic, dual_path, inception, inception_resnet, mobile, residual)
}
ROWS = {f"{family}/{row.name}": row for family, module in FAMILIES.items() for row in module.ROWS}
MISTAKES = {
    f"{family}/{mistake.row}-{mistake.what}": mistake
    for family, module in FAMILIES.items()
    for mistake in module.MISTAKES
}


def cases() -> dict[str, tuple[Row, Mistake | None]]:
    """Each row, and behind it its mistakes: a reference computes once for all of them."""
    found: dict[str, tuple[Row, Mistake | None]] = {}
    for name, row in ROWS.items():
        found[name] = (row, None)
        found |= {of: (row, mistake) for of, mistake in MISTAKES.items() if of.startswith(f"{name}-")}
    return found


CASES = cases()


@pytest.mark.parity
@pytest.mark.parametrize(("row", "mistake"), CASES.values(), ids=CASES)
def test_rows_are_equal_and_mistakes_are_not(row: Row, mistake: Mistake | None) -> None:
    """The outputs in each mode, the running statistics after a step of training and every parameter's gradient."""
    if mistake is None:
        found = compared(row).differences(row.sights)
        assert compared(row).expected.spread() > 1e-3, "the logits hardly depend on the image"
        assert all(found[sight] < SAME for sight in row.sights), found
    else:
        found = compared(row).differences_of(mistake)
        assert all(NOTICED < found[sight] < math.inf for sight in mistake.seen_in), found
        assert all(found[sight] < SAME for sight in mistake.passes_in), found


def test_each_mistake_is_in_a_row() -> None:
    assert len(CASES) == len(ROWS) + len(MISTAKES)
    assert sum(len(module.ROWS) + len(module.MISTAKES) for module in FAMILIES.values()) == len(CASES)
