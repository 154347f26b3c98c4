"""Published and own checkpoints: read without running code, know the network, translate the keys, load strictly."""

from __future__ import annotations

from convatlas.weights.checkpoint import Checkpoint, checkpoint_of, open_checkpoint
from convatlas.weights.files import METADATA, file_sha256, network_state, read_checkpoint
from convatlas.weights.fitting import Identified
from convatlas.weights.identity import identify
from convatlas.weights.keys import load_strictly, translate_keys
from convatlas.weights.named import is_file_of, preprocessing_of_weights, published_file, weights_named
from convatlas.weights.record import preprocessing_said

__all__ = [
    "METADATA",
    "Checkpoint",
    "Identified",
    "checkpoint_of",
    "file_sha256",
    "identify",
    "is_file_of",
    "load_strictly",
    "network_state",
    "open_checkpoint",
    "preprocessing_of_weights",
    "preprocessing_said",
    "published_file",
    "read_checkpoint",
    "translate_keys",
    "weights_named",
]
