"""The parts of a run's record, from the objects that training works with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convatlas import values
from convatlas.architecture import Architecture
from convatlas.data import DataSet
from convatlas.run import ArchitectureRecord, DataRecord
from convatlas.scores import TOP1, Score

SELECTION = "best validation accuracy, first epoch that reaches it"  # by the score of classification


def architecture_record(
    architecture: Architecture, options: Mapping[str, Any], *, num_classes: int, in_channels: int
) -> ArchitectureRecord:
    """Returns the record of a network that an architecture builds."""
    return ArchitectureRecord(
        name=architecture.name,
        reference=architecture.reference,
        source_hash=architecture.source_hash,
        options=values.plain(options),
        num_classes=num_classes,
        in_channels=in_channels,
    )


def data_record(data: DataSet) -> DataRecord:
    """Returns the record of a data set."""
    return DataRecord(
        name=data.spec.name,
        split_hash=data.split_hash,
        images_hash=data.images_hash,
        split_seed=data.spec.split_seed,
        train=len(data.train),
        validation=len(data.validation),
        test=len(data.test),
        classes=data.spec.class_names,
        source=data.spec.source,
        unreadable=data.unreadable,
    )


def last_epoch(validation: int, *, watched: bool) -> str:
    """Returns why the last epoch is kept, in words, for a number of validation images, which may be watched.

    >>> last_epoch(0, watched=False)
    'the last epoch: no validation images are used'
    """
    if watched:
        return "the last epoch; the validation images are only watched"
    reason = "no validation image has a box that counts" if validation else "no validation images are used"
    return f"the last epoch: {reason}"


def selection(score: Score) -> str:
    """Returns the rule by which the epoch was selected, in words.

    >>> selection(Score("loss", "min", "number"))
    'lowest validation loss, first epoch that reaches it'
    """
    if score == TOP1:
        return SELECTION
    extreme = "highest" if score.direction == "max" else "lowest"
    return f"{extreme} validation {score.word}, first epoch that reaches it"
