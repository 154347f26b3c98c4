"""Opens runs, checkpoints and published weights, reads images and computes logits, all on one path."""

from __future__ import annotations

from convatlas.data.images.image_files import check_images, read_image
from convatlas.prediction.evaluate import Chosen, check_split, choose_data, choose_images, evaluate_run, evaluate_split
from convatlas.prediction.images import Answer, answers
from convatlas.prediction.logits import answering, predict_logits
from convatlas.prediction.opening import (
    Normalisation,
    architecture_of_run,
    identify_source,
    open_network,
    open_predictor,
)
from convatlas.prediction.pictures import Pictures, names_in, pictures_of
from convatlas.prediction.predictor import Predictor
from convatlas.prediction.views import Averaging, check_averaging

__all__ = [
    "Answer",
    "Averaging",
    "Chosen",
    "Normalisation",
    "Pictures",
    "Predictor",
    "answering",
    "answers",
    "architecture_of_run",
    "check_averaging",
    "check_images",
    "check_split",
    "choose_data",
    "choose_images",
    "evaluate_run",
    "evaluate_split",
    "identify_source",
    "names_in",
    "open_network",
    "open_predictor",
    "pictures_of",
    "predict_logits",
    "read_image",
]
