"""The preprocessing that our own checkpoints and runs say their network needs."""

from __future__ import annotations

from dataclasses import asdict

from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.run import PreprocessingRecord


def preprocessing_said(record: PreprocessingRecord | None, *, label: str) -> Preprocessing:
    """Returns the size and normalisation of a record. Raises `UsageError` that names `label` where it has none."""
    if record is None:
        raise UsageError(f"{label}: its preprocessing cannot be read: it is missing")
    return Preprocessing(**asdict(record))
