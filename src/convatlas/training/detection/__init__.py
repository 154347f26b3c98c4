"""Training of detectors: the objective, its checks, and the pictures and arrays that a run keeps."""

from __future__ import annotations

from convatlas.training.detection.fitting import check_detection, fit_detection
from convatlas.training.detection.objective import Detection

__all__ = ["Detection", "check_detection", "fit_detection"]
