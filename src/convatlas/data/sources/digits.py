"""digits: 1,797 scanned handwritten digits of 8 x 8 pixels, which scikit-learn ships: real data with no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from convatlas.data.dataset import Source, Spec, Splits
from convatlas.data.images.resident import take
from convatlas.data.sources.splitting import hold_out_of_each_class


def read_digits(_folder: Path | None = None) -> Splits:
    """Returns the digits as uint8 (N, 1, 8, 8), split 60/20/20 with every class in proportion."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)  # 0..16 in the source
    labels = torch.from_numpy(digits.target.astype(np.int64))
    rest, test = hold_out_of_each_class(np.arange(len(labels)), digits.target, share=0.2)
    train, validation = hold_out_of_each_class(rest, digits.target, share=0.25)
    train_split, validation_split, test_split = (
        take(images, labels, torch.from_numpy(np.sort(part))) for part in (train, validation, test)
    )
    return Splits(train_split, validation_split, test_split)


DIGITS = Source(
    Spec(
        name="digits",
        title="Optical recognition of handwritten digits (the test part, as scikit-learn ships it)",
        source="Alpaydin and Kaynak 1998, https://archive.ics.uci.edu/dataset/80",
        class_names=tuple("0123456789"),
        channels=1,
        image_size=8,
        mirror=False,
    ),
    read=read_digits,
)
