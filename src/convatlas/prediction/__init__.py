"""What networks answer: runs, checkpoints and published weights opened, images read, logits computed, all one path."""

from __future__ import annotations

from convatlas.prediction.evaluate import check_split, choose_data, evaluate_run, evaluate_split
from convatlas.prediction.images import Answer, answer, check_images, read_image
from convatlas.prediction.logits import (
    BATCH_SIZE,
    answering,
    autocast,
    described,
    has_bf16,
    network_input,
    predict_logits,
    resolve_device,
)
from convatlas.prediction.predictor import (
    Normalisation,
    Predictor,
    architecture_of,
    load_network,
    open_predictor,
    open_published,
    preprocessing_of,
    run_and_checkpoint,
)

__all__ = [
    "BATCH_SIZE",
    "Answer",
    "Normalisation",
    "Predictor",
    "answer",
    "answering",
    "architecture_of",
    "autocast",
    "check_images",
    "check_split",
    "choose_data",
    "described",
    "evaluate_run",
    "evaluate_split",
    "has_bf16",
    "load_network",
    "network_input",
    "open_predictor",
    "open_published",
    "predict_logits",
    "preprocessing_of",
    "read_image",
    "resolve_device",
    "run_and_checkpoint",
]
