"""Parity with the tutorial's own networks, through the checkpoints published with it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from convatlas.architectures import architecture
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.prediction import predict_logits
from convatlas.weights import load_strictly, network_state, read_checkpoint, translate_keys

FOLDER = os.environ.get("CONVATLAS_TEST_DATA")
needs_data = pytest.mark.skipif(FOLDER is None, reason="CONVATLAS_TEST_DATA names no folder")


def cifar10_test_part() -> tuple[torch.Tensor, torch.Tensor]:
    """The first 1,000 lossless test images, (N, 3, 32, 32) uint8, and their labels."""
    assert FOLDER
    path = Path(FOLDER) / "data/cifar10-lossless-part/cifar-10-batches-py/test_batch"
    with path.open("rb") as file:
        content = pickle.load(file, encoding="bytes")
    return torch.from_numpy(content[b"data"]).view(-1, 3, 32, 32), torch.tensor(content[b"labels"])


@needs_data
@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "correct"),
    [("googlenet_uva", 899), ("resnet_uva", 906), ("preact_resnet_uva", 914), ("densenet_uva", 898)],
)
def test_as_many_correct_as_the_tutorials_code(name: str, correct: int) -> None:
    """The tutorial's own code in float32 gives exactly these counts on the 1,000 images."""
    row = architecture(name)
    weights = row.weights[0]
    assert FOLDER
    checkpoint = read_checkpoint(Path(FOLDER) / "reference/uva-tutorial5" / Path(weights.url).name)
    network = row.build()
    load_strictly(network, translate_keys(network_state(checkpoint, prefix="model."), weights.keys))
    images, labels = cifar10_test_part()
    preprocessing = Preprocessing(weights.image_size, weights.mean, weights.std)
    logits = predict_logits(network, images, preprocessing=preprocessing)
    assert int((logits.argmax(1) == labels).sum()) == correct


@needs_data
def test_another_networks_checkpoint_is_refused() -> None:
    assert FOLDER
    checkpoint = read_checkpoint(Path(FOLDER) / "reference/uva-tutorial5/DenseNet.ckpt")
    state = network_state(checkpoint, prefix="model.")
    with pytest.raises(UsageError, match="another network"):
        translate_keys(state, architecture("resnet_uva").weights[0].keys)


def test_shifted_numbers_and_dropped_keys() -> None:
    state = {"layer1.0.bn2.weight": torch.ones(1), "aux.fc.bias": torch.ones(1)}
    table = {"layer{}.{}.bn{}": "stage{+1}.{}.norm{-1}", "aux": None}
    assert list(translate_keys(state, table)) == ["stage2.0.norm1.weight"]


def test_first_row_wins_and_prefixes_end_at_a_dot() -> None:
    state = {"conv1.weight": torch.ones(1), "conv10.weight": torch.ones(1)}
    assert list(translate_keys(state, {"conv1": "stem", "conv10": "head"})) == ["stem.weight", "head.weight"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"a": "x"}, "1 keys are unknown, such as 'b.weight'"),
        ({"a": "x", "b": "y", "c": "z"}, "expected ones are missing, such as 'c'"),
        ({"a": "x", "b": "x"}, "two checkpoint keys become 'x.weight'"),
    ],
)
def test_tables_that_do_not_fit(table: dict[str, str | None], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        translate_keys({"a.weight": torch.ones(1), "b.weight": torch.ones(1)}, table)


def test_strict_loading_names_the_differences() -> None:
    network = torch.nn.Linear(2, 2)
    with pytest.raises(UsageError, match=r"- bias \(missing\); \+ b \(unknown\); ! weight \(shape \(3, 2\), here"):
        load_strictly(network, {"weight": torch.ones(3, 2), "b": torch.ones(2)})


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("code ran",)

    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": Evil()}, path)
    with pytest.raises(UsageError, match="no checkpoint of tensors and plain data"):
        read_checkpoint(path)


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "broken.ckpt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(UsageError, match="no checkpoint"):
        read_checkpoint(path)
    with pytest.raises(UsageError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "missing.ckpt")
