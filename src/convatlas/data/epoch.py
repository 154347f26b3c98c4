"""An epoch: the number of its steps, the smallest part of a batch, and its seed."""

from __future__ import annotations

import numpy as np

from convatlas.recipe import Recipe


def steps_per_epoch(count: int, recipe: Recipe) -> int:
    """Returns the optimizer steps of one epoch over `count` images; a set smaller than a batch is one step.

    With `epoch_steps` in the recipe it is that number, whatever the number of images.
    """
    if recipe.epoch_steps is not None:
        return recipe.epoch_steps
    whole, rest = divmod(count, recipe.batch_size)
    return whole if whole and (recipe.drop_last or not rest) else whole + 1


def smallest_part(count: int, recipe: Recipe) -> int:
    """Returns the fewest images that pass through the network together in an epoch over `count` images.

    >>> from convatlas.recipe import recipe
    >>> smallest_part(1000, recipe("quick").replaced(accumulate=4)), smallest_part(1001, recipe("he_cifar"))
    (8, 105)
    """
    if recipe.epoch_steps is not None:
        return recipe.batch_size // recipe.optimizer.accumulate
    whole, rest = divmod(count, recipe.batch_size)
    sizes = ([recipe.batch_size] if whole else []) + ([rest] if rest and not (whole and recipe.drop_last) else [])
    return min(size // min(recipe.optimizer.accumulate, size) for size in sizes)


def epoch_seed(seed: int, epoch: int) -> int:
    """Returns the seed of one epoch of one run; a multiplier keeps neighbouring seeds and epochs apart."""
    return (seed * 1_000_003 + epoch) % 2**63


def stream_seed(*numbers: int) -> int:
    """Returns the seed of a stream of random numbers that some numbers name, far from those of other numbers.

    A zero at the end is as no number.

    >>> stream_seed(0, 1) == stream_seed(0, 1), stream_seed(0, 1) == stream_seed(1, 0)
    (True, False)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) % 2**63
