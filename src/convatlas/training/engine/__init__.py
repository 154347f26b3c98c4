"""The engine: Lightning drives a learner, with its loggers, callbacks and checkpoints. Only this folder imports it."""

from __future__ import annotations

import importlib.util

try:
    import lightning.pytorch  # noqa: F401
except Exception as error:
    if importlib.util.find_spec("torchvision") is None:
        raise
    raise ImportError(
        f"PyTorch Lightning cannot be imported ({error}); a torchvision that does not fit this torch is the usual "
        "reason, and ConvAtlas needs none: pip uninstall torchvision"
    ) from error

from convatlas.training.engine.loop import fit, log_results, quiet_libraries

__all__ = ["fit", "log_results", "quiet_libraries"]
