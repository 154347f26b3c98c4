"""A checkpoint that others trained, as a run: evaluated on the test images, so that it stands in a table with ours."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import torch

from convatlas.complexity import complexity
from convatlas.data import DataSet, class_labels
from convatlas.errors import UsageError
from convatlas.evaluation import Evaluation
from convatlas.files import held, write_arrays, write_bytes
from convatlas.prediction import Predictor, evaluate_split
from convatlas.run import (
    NetworkRecord,
    PreprocessingRecord,
    Run,
    RunRecord,
    Start,
    run_there,
    this_session,
)
from convatlas.training.records import architecture_record, data_record
from convatlas.training.start import parts
from convatlas.weights import METADATA, file_sha256, is_file_of

RECIPE = "published"
SELECTION = "as published by others; evaluated once here"


def evaluated_run(predictor: Predictor, data: DataSet, *, folder: Path) -> tuple[Run, Evaluation]:
    """Evaluates a checkpoint on the test images and keeps it as a run: record, predictions, weights.

    There are no epochs and no validation accuracy, and the seed is not known. Raises `UsageError` for a run of ours,
    which has its folder already, and where `folder` holds something else.
    """
    if predictor.run is not None:
        raise UsageError(f"{predictor.source} is a run already; --out is for checkpoints that others trained")
    record = _record(predictor, data)
    run_there(folder, record)
    result = evaluate_split(predictor, data, split="test")
    arrays = {
        "test_logits": result.logits,
        "test_labels": class_labels(data.test).cpu().numpy(),
        "test_index": data.test.index.cpu().numpy(),
    }
    unknown = dict.fromkeys(("best_epoch", "val_top1", "val_loss", "train_seconds", "images_per_second"))
    results = {**unknown, **result.results("test"), "test_imbalance": result.imbalance}
    with held(folder):
        write_arrays(folder / "predictions.npz", arrays)
        write_bytes(folder / "checkpoints" / "best.ckpt", _checkpoint(predictor, record))
        return Run(folder, dataclasses.replace(record, results=results)).write(), result


def _record(predictor: Predictor, data: DataSet) -> RunRecord:
    """Returns the record of the run but for its results."""
    row, weights = predictor.architecture, predictor.weights
    inputs = {"num_classes": predictor.num_classes, "in_channels": predictor.in_channels}
    cost = complexity(row, image_size=predictor.preprocessing.image_size, **inputs, **predictor.options)
    sha256 = file_sha256(predictor.path)
    source = f"{Path(predictor.source).name} {sha256[:8]}"
    if weights is not None and is_file_of(predictor.path, weights):
        source = weights.name
    return RunRecord(
        status="finished",
        architecture=architecture_record(row, predictor.options, **inputs),
        start=Start.from_weights(predictor.source, sha256=sha256, kept=parts(predictor.network.state_dict(), ())[0]),
        recipe={"name": RECIPE, "source": source, "precision": predictor.precision},
        seed=None,
        data=data_record(data),
        preprocessing=PreprocessingRecord(**dataclasses.asdict(predictor.preprocessing)),
        network=NetworkRecord(params=cost.params, macs=cost.macs, shape=cost.shape),
        selection=SELECTION,
        published=row.published,
        notes=(
            f"{row.name}: weights of {predictor.source}, sha256 {sha256}",
            *predictor.notes,
            *data.notes,
            *cost.notes,
        ),
        device=next(predictor.network.parameters()).device.type,
        sessions=(this_session(),),
    )


def _checkpoint(predictor: Predictor, record: RunRecord) -> bytes:
    """Returns the weights in our names, with what they are of."""
    buffer = io.BytesIO()
    state = {f"network.{key}": tensor.cpu().contiguous() for key, tensor in predictor.network.state_dict().items()}
    torch.save({"state_dict": state, METADATA: record.entry()}, buffer)
    return buffer.getvalue()
