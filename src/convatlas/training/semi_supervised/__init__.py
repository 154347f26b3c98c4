"""Training with few labels: the objectives by the method that a recipe names, and the images that they use."""

from __future__ import annotations

from convatlas.training.objective import Objective
from convatlas.training.semi_supervised.batches import labelled_images, unlabelled_images
from convatlas.training.semi_supervised.meta import MetaPseudoLabels
from convatlas.training.semi_supervised.noisy import NoisyStudent, with_teacher
from convatlas.training.semi_supervised.objective import JOINT, SemiSupervised, Supervised
from convatlas.training.semi_supervised.said import label_notes, labelled_record, unlabelled_record
from convatlas.training.semi_supervised.teacher import TeacherLabels

OBJECTIVES: dict[str | None, type[Objective]] = {
    "supervised": Supervised,
    **dict.fromkeys(JOINT, SemiSupervised),
    "meta_pseudo_labels": MetaPseudoLabels,
    "noisy_student": NoisyStudent,
}

__all__ = [
    "OBJECTIVES",
    "NoisyStudent",
    "SemiSupervised",
    "Supervised",
    "TeacherLabels",
    "label_notes",
    "labelled_images",
    "labelled_record",
    "unlabelled_images",
    "unlabelled_record",
    "with_teacher",
]
