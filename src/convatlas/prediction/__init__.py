"""Opens runs, checkpoints and published weights, reads images and computes logits, all on one path."""

from __future__ import annotations

from convatlas.prediction.evaluate import check_split, choose_data, evaluate_run, evaluate_split
from convatlas.prediction.images import Answer, answer, check_images, read_image
from convatlas.prediction.logits import answering, predict_logits
from convatlas.prediction.opening import (
    Normalisation,
    identify_source,
    open_predictor,
)
from convatlas.prediction.predictor import Predictor

__all__ = [
    "Answer",
    "Normalisation",
    "Predictor",
    "answer",
    "answering",
    "check_images",
    "check_split",
    "choose_data",
    "evaluate_run",
    "evaluate_split",
    "identify_source",
    "open_predictor",
    "predict_logits",
    "read_image",
]
