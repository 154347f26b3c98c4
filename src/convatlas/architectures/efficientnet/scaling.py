"""Compound scaling: width, depth and resolution of a network grow together.

Tan, Le 2019, https://arxiv.org/abs/1905.11946, section 3.3; the released coefficients are those of the authors' code,
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from convatlas.errors import UsageError
from convatlas.layers import InvertedRow, scaled_width

__all__ = ["RELEASED", "Coefficients", "Scaling", "compound_scaling", "scaled_depth", "scaled_rows", "scaled_width"]


class Scaling(NamedTuple):
    """Factors of a network's width and depth, and the side of its images in pixels."""

    width: float
    depth: float
    resolution: int


class Coefficients(NamedTuple):
    """A released scaling, with the dropout before the classifier."""

    width: float
    depth: float
    resolution: int
    dropout: float


# The released coefficients, which are not the formula's (`compound_scaling`). B8 is AdvProp's, L2 is Noisy Student's.
RELEASED = {
    "b0": Coefficients(1.0, 1.0, 224, 0.2),
    "b1": Coefficients(1.0, 1.1, 240, 0.2),
    "b2": Coefficients(1.1, 1.2, 260, 0.3),
    "b3": Coefficients(1.2, 1.4, 300, 0.3),
    "b4": Coefficients(1.4, 1.8, 380, 0.4),
    "b5": Coefficients(1.6, 2.2, 456, 0.4),
    "b6": Coefficients(1.8, 2.6, 528, 0.5),
    "b7": Coefficients(2.0, 3.1, 600, 0.5),
    "b8": Coefficients(2.2, 3.6, 672, 0.5),
    "l2": Coefficients(4.3, 5.3, 800, 0.5),
}


def compound_scaling(
    phi: float, *, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15, resolution: int = 224
) -> Scaling:
    """Returns equation 3: the baseline's depth times alpha^phi, width times beta^phi, resolution times gamma^phi.

    alpha * beta^2 * gamma^2 is about 2, so that the arithmetic doubles with each step of phi. Raises `UsageError` for a
    phi below 0 and for bases below 1.

    The formula does not give the released coefficients (`RELEASED`). B1 is as wide as B0, with a depth and resolution
    of about phi = 0.5. B2 to B7 have about the widths of phi = 1, 2, 3.5, 5, 6, 7; these values of phi are read off the
    widths, no source gives them. From B3 on the networks are less deep (B7 has 3.1 instead of 3.6), and their images
    are up to 4 % larger. L2 has the width of phi = 15, and the depth and resolution of phi = 9.

    >>> compound_scaling(1)
    Scaling(width=1.1, depth=1.2, resolution=258)
    >>> RELEASED["b2"]
    Coefficients(width=1.1, depth=1.2, resolution=260, dropout=0.3)
    """
    if not 0 <= phi < math.inf:
        raise UsageError(f"phi={phi} must be at least 0")
    if not all(1 <= base < math.inf for base in (alpha, beta, gamma)):
        raise UsageError(f"alpha={alpha}, beta={beta} and gamma={gamma} must be at least 1")
    return Scaling(width=beta**phi, depth=alpha**phi, resolution=round(gamma**phi * resolution))


def scaled_depth(blocks: int, factor: float) -> int:
    """Returns `factor` times the blocks of a stage, rounded up. Raises `UsageError` unless the factor is positive.

    >>> [scaled_depth(3, factor) for factor in (0.1, 1.0, 1.1, 1.4)]
    [1, 3, 4, 5]
    """
    if not (factor > 0 and math.isfinite(factor)):
        raise UsageError(f"the factor {factor} of depths must be above 0")
    return math.ceil(factor * blocks)


def scaled_rows(rows: Iterable[InvertedRow], *, width: float, depth: float) -> tuple[InvertedRow, ...]:
    """Returns the table with its widths and depths scaled and rounded.

    >>> scaled_rows([InvertedRow(expansion=6, kernel=3, stride=2, width=80, depth=3)], width=1.1, depth=1.2)
    (InvertedRow(expansion=6, kernel=3, stride=2, width=88, depth=4),)
    """
    return tuple(
        row._replace(width=scaled_width(row.width, width), depth=scaled_depth(row.depth, depth)) for row in rows
    )
