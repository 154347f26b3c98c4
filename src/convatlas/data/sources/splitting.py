"""Images held out of others, with the one seed of all studies."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convatlas.data.dataset import SPLIT_SEED


def hold_out(count: int, held_out: int) -> tuple[Tensor, Tensor]:
    """Returns the places of the images to train on and of those held out, in an order of their own.

    The permutation is the one that `torch.utils.data.random_split` makes after `torch.manual_seed(42)`.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SPLIT_SEED))
    return order[: count - held_out], order[count - held_out :]


def hold_out_of_each_class(places: np.ndarray, labels: np.ndarray, *, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places that stay and those held out, a share of every class, both in an order of their own.

    `labels` are those of all images, of which `places` are some.
    """
    from sklearn.model_selection import train_test_split

    stay, held_out = train_test_split(places, test_size=share, stratify=labels[places], random_state=SPLIT_SEED)
    return stay, held_out
