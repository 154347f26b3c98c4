"""Training of detectors: the objective, its checks, and the pictures and arrays that a run keeps."""

from __future__ import annotations

from convatlas.training.detection.fitting import fit_to_network
from convatlas.training.detection.objective import Detection

__all__ = ["Detection", "fit_to_network"]
