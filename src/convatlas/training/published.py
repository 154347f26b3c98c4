"""A checkpoint that others trained, as a run: evaluated on the test images, so that it stands in a table with ours."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from convatlas import values
from convatlas.complexity import complexity
from convatlas.data import DataSet
from convatlas.errors import UsageError
from convatlas.evaluation import Evaluation
from convatlas.files import check_writable, held, is_free, write_arrays, write_bytes
from convatlas.prediction import Predictor, evaluate_split
from convatlas.run import Run, circumstances, differences, is_run, read_run
from convatlas.weights import METADATA, file_sha256

RECIPE = "published"
SELECTION = "as published by others; evaluated once here"
IDENTITY = ("architecture", "recipe", "data")


def published_run(predictor: Predictor, data: DataSet, *, folder: Path) -> tuple[Run, Evaluation]:
    """Evaluates a checkpoint on the test images and keeps it as a run: record, predictions, weights.

    There are no epochs and no validation accuracy, and the seed is not known. Raises `UsageError` for a run of ours,
    which has its folder already, and where `folder` holds something else.
    """
    record = _record(predictor, data)
    _open_folder(predictor, folder, record=record)
    result, logits = evaluate_split(predictor, data, split="test")
    arrays = {
        "test_logits": logits,
        "test_labels": data.test.labels.cpu().numpy(),
        "test_index": data.test.index.cpu().numpy(),
    }
    unknown = dict.fromkeys(("best_epoch", "val_top1", "val_loss", "train_seconds", "images_per_second"))
    results = {**unknown, "test_top1": result.top1, "test_loss": result.loss}
    with held(folder):
        write_arrays(folder / "predictions.npz", arrays)
        write_bytes(folder / "checkpoints" / "best.ckpt", _checkpoint(predictor, record))
        return Run(folder, {**record, "status": "finished", "results": results}).write(), result


def _open_folder(predictor: Predictor, folder: Path, *, record: dict[str, Any]) -> None:
    """Raises `UsageError` unless the folder is free, or holds the same checkpoint evaluated before."""
    if predictor.run is not None:
        raise UsageError(f"{predictor.source} is a run already; --out is for checkpoints that others trained")
    if is_free(folder):
        check_writable(folder)
        return
    if not is_run(folder):
        raise UsageError(f"the folder {folder} is not empty and holds no run; choose another with --out")
    there = read_run(folder).record
    different = differences({key: record[key] for key in IDENTITY}, {key: there.get(key) for key in IDENTITY})
    if different:
        raise UsageError(
            f"the folder {folder} holds another run ({'; '.join(different[:3])}); choose another with --out"
        )


def _record(predictor: Predictor, data: DataSet) -> dict[str, Any]:
    """The content of `run.json` but for status and results."""
    row, weights, spec = predictor.architecture, predictor.weights, data.spec
    cost = complexity(
        row,
        num_classes=predictor.num_classes,
        in_channels=predictor.in_channels,
        image_size=predictor.preprocessing.image_size,
        **predictor.options,
    )
    sizes = {"train": len(data.train), "validation": len(data.validation), "test": len(data.test)}
    described = {
        "format": 1,
        "architecture": {
            "name": row.name,
            "reference": row.reference,
            "options": predictor.options,
            "num_classes": predictor.num_classes,
            "in_channels": predictor.in_channels,
        },
        "recipe": {"name": RECIPE, "source": weights.name if weights else Path(predictor.source).name,
                   "precision": predictor.precision},
        "seed": None,
        "data": {
            "name": spec.name,
            "split_hash": data.split_hash,
            "images_hash": data.images_hash,
            **sizes,
            "classes": spec.class_names,
            "source": spec.source,
        },
        "preprocessing": dataclasses.asdict(predictor.preprocessing),
        "network": {"params": cost.params, "macs": cost.macs, "shape": cost.shape},
        "selection": SELECTION,
        "notes": [f"{row.name}: weights of {predictor.source}, sha256 {file_sha256(predictor.path)}"],
        **circumstances(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    return {name: values.plain(value) for name, value in described.items()}


def _checkpoint(predictor: Predictor, record: dict[str, Any]) -> bytes:
    """The weights in our names, with what they are of."""
    buffer = io.BytesIO()
    state = {f"network.{key}": tensor.cpu().contiguous() for key, tensor in predictor.network.state_dict().items()}
    said = {name: record[name] for name in ("architecture", "preprocessing", "data", "recipe")}
    torch.save({"state_dict": state, METADATA: said}, buffer)
    return buffer.getvalue()
