"""Parity with the tutorial's own networks, through the checkpoints published with it."""

from __future__ import annotations

import functools
import hashlib
import html
import http.server
import json
import os
import pickle
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from convatlas import Architecture, create, load
from convatlas import architectures as registry
from convatlas.architecture import Weights
from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.data.preprocessing import Preprocessing
from convatlas.data_names import CIFAR10_CLASSES
from convatlas.errors import UsageError
from convatlas.prediction import open_predictor
from convatlas.weights import (
    checkpoint_of,
    identify,
    load_strictly,
    network_state,
    open_checkpoint,
    read_checkpoint,
    translate_keys,
)
from convatlas.weights.named import download

pytestmark = pytest.mark.usefixtures("quick_runs")

FOLDER = os.environ.get("CONVATLAS_TEST_DATA")
needs_data = pytest.mark.skipif(FOLDER is None, reason="CONVATLAS_TEST_DATA names no folder")


COUNTS = {"GoogleNet": 899, "ResNet": 906, "ResNetPreAct": 914, "DenseNet": 898}
NAMES = {
    "GoogleNet": "googlenet_uva",
    "ResNet": "resnet_uva",
    "ResNetPreAct": "preact_resnet_uva",
    "DenseNet": "densenet_uva",
}
CONTRACT = {"architecture", "data", "split", "precision", "n", "correct", "top1", "top5", "loss", "per_class", "notes"}
CONTRACT |= {"published", "balanced_accuracy", "macro_f1", "per_class_n", "per_class_correct"}


def tutorial(file: str) -> Path:
    assert FOLDER
    return Path(FOLDER) / f"reference/uva-tutorial5/{file}.ckpt"


def cifar10_words() -> list[str]:
    """The flags that name the lossless part of CIFAR-10."""
    return ["--data", "cifar10", "--data-dir", f"{FOLDER}/data/cifar10-lossless-part"]


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@needs_data
@pytest.mark.parity
@pytest.mark.parametrize(("file", "correct"), COUNTS.items())
def test_as_many_correct_as_the_tutorials_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, file: str, correct: int
) -> None:
    """The tutorial's own code in float32 gives exactly these counts on the 1,000 images; the file names its network."""
    code, out, err = run(capsys, "evaluate", tutorial(file), *cifar10_words(), "--json")
    assert code == 0, err
    content = json.loads(out)
    assert content.keys() == CONTRACT
    assert (content["architecture"], content["data"], content["split"]) == (NAMES[file], "cifar10", "test")
    assert (content["n"], content["correct"]) == (1000, correct)
    assert list(content["per_class"]) == list(CIFAR10_CLASSES)
    assert 0.98 < content["top5"] <= 1
    assert 0.2 < content["loss"] < 0.6


@pytest.mark.slow
@needs_data
def test_evaluate_prints_accuracy_loss_top5_and_each_class(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data set is by default the one that the weights were published for."""
    code, out, _ = run(capsys, "evaluate", tutorial("ResNet"), *cifar10_words()[2:])
    assert code == 0
    for text in ("resnet_uva on cifar10 test: 90.60 % (906 of 1000)", "top-5", "loss", "automobile", "truck"):
        assert text in out
    assert out.splitlines()[1].startswith("published: 91.06 % (")
    assert "only a part of cifar10" in out.splitlines()[2]


@needs_data
def test_a_layout_counts_without_the_hyperparameters(tmp_path: Path) -> None:
    """Keys and shapes alone name the network, whatever prefixes the file has."""
    state = read_checkpoint(tutorial("ResNet"))["state_dict"]
    bare = {key.removeprefix("model."): tensor for key, tensor in state.items()}
    for prefix in ("", "module.", "_orig_mod.", "module._orig_mod.", "network.model."):
        path = tmp_path / "some.pth"
        torch.save({"net": {prefix + key: tensor for key, tensor in bare.items()}, "epoch": 3}, path)
        identified = identify(open_checkpoint(path))
        assert identified.architecture.name == "resnet_uva"
        assert identified.weights is not None
        assert torch.equal(identified.state["stem.conv.weight"], bare["input_net.0.weight"])


@needs_data
def test_another_networks_checkpoint_is_refused() -> None:
    checkpoint = read_checkpoint(tutorial("DenseNet"))
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


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pth", "file.safetensors"])
def test_a_cut_off_file_is_refused_wherever_it_ends(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    save(path, {"fc.weight": torch.randn(30, 20), "fc.bias": torch.randn(30)})
    assert len(read_checkpoint(path)["state_dict" if name.startswith("file") else "fc.weight"])
    whole = path.read_bytes()
    for length in {0, 1, 8, 9, 60, len(whole) // 2, len(whole) - 40, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(UsageError, match=r"no checkpoint|no safetensors"):
            read_checkpoint(path)


def save(path: Path, content: dict[str, Any]) -> None:
    """A file in the format that its name says."""
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=not path.name.startswith("legacy"))


def small(name: str = "resnet_uva", **options: Any) -> dict[str, torch.Tensor]:
    """A state dict in our layout in which every value is random."""
    generator = torch.Generator().manual_seed(1)
    state = create(name, **options).state_dict()
    return {
        key: torch.rand(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        for key, tensor in state.items()
    }


@pytest.fixture
def he_style(monkeypatch: pytest.MonkeyPatch) -> str:
    """An architecture whose weights people publish under the names of He's CIFAR networks."""
    weights = Weights(
        "people",
        url="http://127.0.0.1:9/he-0123abcd.th",
        sha256="0123abcd",
        keys={
            "conv1": "stem.conv",
            "bn1": "stem.norm",
            "layer{}.{}.conv{}": "stage{}.{}.branch.conv{}.conv",
            "layer{}.{}.bn{}": "stage{}.{}.branch.conv{}.norm",
            "linear": "head.fc",
        },
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        image_size=32,
        dataset="cifar10",
        class_names=CIFAR10_CLASSES,
    )
    row = Architecture("he_one_stage", builder=he_one_stage, weights=(weights,))
    monkeypatch.setattr(registry, "_REGISTRY", {**registry._REGISTRY, row.name: row})
    return row.name


def he_one_stage(*, num_classes: int = 10, in_channels: int = 3) -> torch.nn.Module:
    return create("resnet_uva", num_classes=num_classes, in_channels=in_channels, depths=(2,), widths=(8,))


def he_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our names as He-style code has them, under DataParallel."""
    named = {}
    for key, tensor in state.items():
        theirs = key.replace("stem.conv", "conv1").replace("stem.norm", "bn1").replace("head.fc", "linear")
        theirs = re.sub(r"stage(\d)\.(\d)\.branch\.conv(\d)\.conv", r"layer\1.\2.conv\3", theirs)
        theirs = re.sub(r"stage(\d)\.(\d)\.branch\.conv(\d)\.norm", r"layer\1.\2.bn\3", theirs)
        named[f"module.{theirs}"] = tensor
    return named


@pytest.mark.parametrize("name", ["zip.th", "legacy.th"])
def test_he_style_checkpoints(tmp_path: Path, he_style: str, name: str) -> None:
    """Nested, under DataParallel, with an accuracy beside it: found by keys and shapes, each tensor in its place."""
    state = small(he_style, num_classes=7)
    path = tmp_path / name
    save(path, {"state_dict": he_names(state), "best_prec1": 91.78, "epoch": 200})
    for arch in (None, he_style):
        identified = identify(open_checkpoint(path), arch=arch)
        assert (identified.architecture.name, identified.num_classes) == (he_style, 7)
        assert identified.state.keys() == state.keys()
        assert all(torch.equal(identified.state[key], state[key]) for key in state)
    network = load(he_style, path)
    assert not network.training
    assert torch.equal(network.state_dict()["stage1.1.branch.conv2.norm.running_var"],
                       state["stage1.1.branch.conv2.norm.running_var"])  # fmt: skip


def test_checkpoints_older_than_the_counter_of_batches(he_style: str) -> None:
    state = he_names(small(he_style))
    old = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    assert identify(checkpoint_of(old)).architecture.name == he_style
    some = next(key for key in state if key.endswith("num_batches_tracked"))
    filled = identify(checkpoint_of({**old, some: state[some] + 7}), arch=he_style).state
    counts = [tensor.item() for key, tensor in filled.items() if key.endswith("num_batches_tracked")]
    assert sorted(counts) == [0] * (len(counts) - 1) + [7]  # each that is missing is filled in, each that is there kept


def test_networks_without_a_difference_in_their_keys_are_not_guessed(
    monkeypatch: pytest.MonkeyPatch, he_style: str, tmp_path: Path
) -> None:
    """As plain-20 and ResNet-20 with its shortcuts free of parameters; the published file's own hash decides."""
    twin = replace(registry._REGISTRY[he_style], name="he_twin")
    monkeypatch.setitem(registry._REGISTRY, "he_twin", twin)
    path = tmp_path / "people.th"
    torch.save(he_names(small(he_style)), path)
    with pytest.raises(UsageError, match="fits he_one_stage, he_twin alike; say which it is with --arch"):
        identify(open_checkpoint(path))
    assert identify(open_checkpoint(path), arch="he_twin").architecture is twin
    known = replace(twin.weights[0], sha256=open_checkpoint(path).sha256()[:8])
    monkeypatch.setitem(registry._REGISTRY, "he_twin", replace(twin, weights=(known,)))
    assert identify(open_checkpoint(path)).architecture.name == "he_twin"


@pytest.mark.slow
def test_safetensors_that_say_what_they_are(tmp_path: Path) -> None:
    record = {
        "architecture": {"name": "resnet_uva", "reference": None, "options": {"depths": [1, 2, 1]},
                         "num_classes": 4, "in_channels": 1},
        "preprocessing": {"image_size": 16, "mean": [0.25], "std": [0.5]},
        "data": {"name": "shapes", "classes": list("abcd")},
    }  # fmt: skip
    state = small(num_classes=4, in_channels=1, depths=(1, 2, 1))
    path = tmp_path / "model.safetensors"
    save_file(state, path, metadata={"convatlas": json.dumps(record)})
    predictor = open_predictor(path)
    assert (predictor.num_classes, predictor.in_channels, predictor.options) == (4, 1, {"depths": (1, 2, 1)})
    assert predictor.preprocessing == Preprocessing(16, (0.25,), (0.5,))
    assert (predictor.class_names, predictor.data) == (tuple("abcd"), "shapes")
    loaded = predictor.network.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)
    save_file(state, path)
    with pytest.raises(UsageError, match=r"another network than resnet_uva: .*- stage1\.1"):
        open_predictor(path, arch="resnet_uva")
    with pytest.raises(UsageError, match="with which normalisation"):
        open_predictor(path, arch="resnet_uva", options={"depths": "1,2,1"})
    own = open_predictor(path, arch="resnet_uva", options={"depths": "1,2,1"}, normalisation=((0.5,), (0.2,)))
    assert own.preprocessing == Preprocessing(32, (0.5,), (0.2,))


def test_a_checkpoint_never_runs_the_file_it_names(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("raise SystemExit('code ran')")
    for name, reference in (("mine", f"{path}:mine"), (f"{path}:mine", None)):
        described = {"name": name, "reference": reference, "options": {}, "num_classes": 10, "in_channels": 3}
        with pytest.raises(UsageError, match="somebody's own network; name it with --arch"):
            identify(checkpoint_of({"state_dict": small(), "convatlas": {"architecture": described}}))


@pytest.mark.parametrize(
    "stored",
    [
        None,
        {},
        {"image_size": "x", "mean": [0.5], "std": [0.5]},
        {"image_size": 0, "mean": [0.5], "std": [0.5]},
        {"image_size": 8, "mean": [0.5], "std": [0]},
        {"image_size": 8, "mean": 0.5, "std": [0.5]},
        {"image_size": 8, "mean": [float("nan")], "std": [0.5]},
        {"image_size": 8, "mean": [0.5], "std": [float("inf")]},
        {"image_size": 10**9, "mean": [0.5], "std": [0.5]},
    ],
)
def test_a_checkpoint_whose_own_words_cannot_be_read(tmp_path: Path, stored: object) -> None:
    described = {"name": "resnet_uva", "reference": None, "options": {}, "num_classes": 10, "in_channels": 3}
    path = tmp_path / "own.ckpt"
    torch.save({"state_dict": small(), "convatlas": {"architecture": described, "preprocessing": stored}}, path)
    with pytest.raises(UsageError, match="its preprocessing cannot be read"):
        open_predictor(path)
    grey = {"image_size": 8, "mean": [0.5], "std": [0.5]}
    torch.save({"state_dict": small(), "convatlas": {"architecture": described, "preprocessing": grey}}, path)
    with pytest.raises(UsageError, match="its normalisation has 1 channels, the network takes 3"):
        open_predictor(path)
    torch.save({"state_dict": small(), "convatlas": {"architecture": "resnet_uva"}}, path)
    with pytest.raises(UsageError, match="its architecture cannot be read"):
        open_predictor(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": {"name": "resnet_uva", "options": [1]}}, "its architecture cannot be read"),
        ({"architecture": {"name": "resnet_uva", "num_classes": "x", "in_channels": 3}}, "its architecture cannot"),
        ({"architecture": {"name": "resnet_uva", "options": {"depths": "abc"}}}, "depths='abc' must be a tuple"),
        ({"architecture": {"name": "resnet_uva", "options": {"depths": [10**9]}}}, "more blocks than"),
        ({"data": 5}, "its data cannot be read"),
        ({"data": {"classes": ["a", "b"]}}, "its data cannot be read"),
        ({"data": {"classes": list(range(10))}}, "its data cannot be read"),
        ({"data": {"name": 5}}, "its data cannot be read"),
        ({"recipe": {"precision": "int3"}}, "precision is float32 or bf16"),
        ({"recipe": {"precision": []}}, "precision is float32 or bf16"),
        (5, "its entry 'convatlas' cannot be read"),
    ],
)
def test_a_damaged_record_is_one_line_that_names_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: Any, message: str
) -> None:
    record = {
        "architecture": {"name": "resnet_uva", "reference": None, "num_classes": 10, "in_channels": 3},
        "preprocessing": {"image_size": 8, "mean": [0.5] * 3, "std": [0.5] * 3},
    }
    path = tmp_path / "own.ckpt"
    torch.save({"state_dict": small(), "convatlas": {**record, **change} if isinstance(change, dict) else change}, path)
    code, out, err = run(capsys, "evaluate", path, "--data", "digits")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert message in err
    assert str(path) in err


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"num_blocks": "abc"}, "depths='abc' must be a tuple"),
        ({"act_fn_name": ["relu"]}, "activation"),
        ({"num_blocks": [10**7, 1, 1]}, "more blocks than the file has tensors"),
    ],
)
def test_hyperparameters_that_no_network_can_have_are_named_with_their_file(said: dict[str, Any], message: str) -> None:
    content = {"state_dict": small(), "hyper_parameters": {"model_name": "ResNet", "model_hparams": said}}
    with pytest.raises(UsageError, match=f"the hyperparameters of some.ckpt: .*{message}"):
        identify(checkpoint_of(content, label="some.ckpt"))


def test_a_normalisation_taken_from_published_weights_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, he_style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, where the file is not the published one; another first convolution is a matter of shapes."""
    path = tmp_path / "somebodys.th"
    torch.save(he_names(small(he_style)), path)
    said = f"normalisation taken from people of {he_style}, whose layout this file has; --mean and --std override it"
    assert open_predictor(path).notes == (said,)
    assert open_predictor(path, normalisation=((0.5,) * 3, (0.5,) * 3)).notes == ()
    image = tmp_path / "grey.png"
    Image.new("RGB", (32, 32)).save(image)
    code, out, err = run(capsys, "predict", path, image, "--json")
    assert (code, err.count("\n")) == (0, 1)
    assert said in err
    assert json.loads(out)["image"] == str(image)
    row = registry._REGISTRY[he_style]
    known = replace(row.weights[0], sha256=open_checkpoint(path).sha256())
    monkeypatch.setitem(registry._REGISTRY, he_style, replace(row, weights=(known,)))
    assert open_predictor(path).notes == ()
    torch.save(he_names(small(he_style, in_channels=1)), path)
    with pytest.raises(UsageError, match=r"! stem.conv.weight \(shape \(8, 1, 3, 3\), there \(8, 3, 3, 3\)\)"):
        open_predictor(path)
    assert open_predictor(path, normalisation=((0.5,), (0.5,))).in_channels == 1


def test_load_replaces_the_head_and_says_so(recwarn: pytest.WarningsRecorder) -> None:
    state = small()
    network = load("resnet_uva", state)
    assert torch.equal(network.head.fc.weight, state["head.fc.weight"])
    assert load("resnet_uva", state, 10).head.fc.out_features == 10
    assert not recwarn.list
    with pytest.warns(UserWarning, match="head for 10 classes is replaced by an untrained one for 3"):
        network = load("resnet_uva", state, num_classes=3)
    assert network.head.fc.weight.shape == (3, 64)
    assert torch.equal(network.stem.conv.weight, state["stem.conv.weight"])
    with pytest.raises(UsageError, match="num_classes=0"):
        load("resnet_uva", state, num_classes=0)


@pytest.mark.slow
def test_our_own_checkpoint_away_from_its_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--epochs", "1", "--batch-size", "256", "--set", "image_size=8", "-o", "depths=1,1", "-o", "widths=8,16"]
    assert run(capsys, "train", "resnet_uva", *words, "--quiet", "--out", tmp_path / "run")[0] == 0
    inside = tmp_path / "run/checkpoints/best.ckpt"
    away = tmp_path / "copied.ckpt"
    away.write_bytes(inside.read_bytes())
    outputs = [run(capsys, "evaluate", source, "--json") for source in (tmp_path / "run", inside, away)]
    assert [code for code, _, _ in outputs] == [0, 0, 0]
    assert len({out for _, out, _ in outputs}) == 1
    assert load("resnet_uva", tmp_path / "run").head.fc.in_features == 16
    code, _, err = run(capsys, "evaluate", tmp_path / "run", "--arch", "resnet_uva")
    assert (code, err.count("\n")) == (2, 1)


class Server(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; the first `failures` requests get an error."""

    failures = 0
    requests = 0

    def do_GET(self) -> None:
        Server.requests += 1
        if Server.requests <= Server.failures:
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a folder served on this machine, and a cache folder of its own; no waiting between attempts."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(Server, directory=str(tmp_path / "served"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("convatlas.download.time.sleep", lambda _seconds: None)
    monkeypatch.setattr(Server, "failures", 0)
    monkeypatch.setattr(Server, "requests", 0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def served(name: str, address: str, *, content: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """The published weights of an architecture, to be had from the local server."""
    row = architecture(name)
    (folder / "served/file.ckpt").write_bytes(content)
    weights = replace(row.weights[0], url=f"{address}/file.ckpt", sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(registry._REGISTRY, name, replace(row, weights=(weights,)))
    return weights


@pytest.mark.slow
@needs_data
def test_published_weights_by_name(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Downloaded once, again after a failure, and used from the cache."""
    content = tutorial("ResNet").read_bytes()
    served("resnet_uva", server, content=content, folder=tmp_path, monkeypatch=monkeypatch)
    monkeypatch.setattr(Server, "failures", 2)
    words = ["evaluate", "resnet_uva", "--weights", "uva", *cifar10_words(), "--json"]
    code, out, err = run(capsys, *words)
    assert code == 0, err
    assert json.loads(out)["correct"] == 906
    assert Server.requests == 3
    network = create("resnet_uva", weights="uva")
    assert (Server.requests, network.training) == (3, False)
    with pytest.warns(UserWarning, match="untrained one for 5"):
        assert create("resnet_uva", weights="uva", num_classes=5).head.fc.out_features == 5
    with pytest.raises(UsageError, match="another network than resnet_uva"):
        create("resnet_uva", weights="uva", depths=(1, 1, 1))
    with pytest.raises(UsageError, match="are for 3 channels, not 1"):
        create("resnet_uva", weights="uva", in_channels=1)


def test_a_file_with_another_hash_is_never_used(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = served("resnet_uva", server, content=b"the right file", folder=tmp_path, monkeypatch=monkeypatch)
    (tmp_path / "served/file.ckpt").write_bytes(b"another file")
    with pytest.raises(UsageError) as caught:
        download(weights)
    path = tmp_path / "cache/convatlas/weights/uva/file.ckpt"
    for text in (weights.url, weights.sha256, str(path), hashlib.sha256(b"another file").hexdigest()):
        assert text in str(caught.value)
    assert not list(path.parent.iterdir())
    path.write_bytes(b"put there by hand, and wrong")
    with pytest.raises(UsageError, match="the file that lies there has another sha256"):
        download(weights)
    path.write_bytes(b"the right file")
    assert download(weights) == path
    path.write_bytes(b"damaged")
    (tmp_path / "served/file.ckpt").write_bytes(b"the right file")
    assert download(weights).read_bytes() == b"the right file"


def test_offline_is_one_line_with_address_hash_and_place(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = architecture("resnet_uva")
    nowhere = replace(row.weights[0], url="http://127.0.0.1:9/ResNet.ckpt")
    monkeypatch.setitem(registry._REGISTRY, "resnet_uva", replace(row, weights=(nowhere,)))
    code, out, err = run(capsys, "evaluate", "resnet_uva", "--weights", "uva")
    assert (code, out, err.count("\n")) == (2, "", 1)
    for text in (nowhere.url, nowhere.sha256, str(tmp_path / "cache/convatlas/weights/uva/ResNet.ckpt")):
        assert text in err


def test_a_cache_that_cannot_be_written_is_one_line(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = served("resnet_uva", server, content=b"the right file", folder=tmp_path, monkeypatch=monkeypatch)
    (tmp_path / "cache").write_text("a file where the folder should be")
    folder = tmp_path / "cache/convatlas/weights/uva"
    with pytest.raises(UsageError, match=f"cannot write to the cache folder {folder}: Not a directory"):
        download(weights)


def test_every_published_file_has_an_address_and_a_hash() -> None:
    for name in registry.list_architectures():
        for weights in architecture(name).weights:
            assert weights.url.startswith("https://")
            assert re.fullmatch(r"[0-9a-f]{8,64}", weights.sha256)
            assert len(weights.mean) == len(weights.std)


def bad_checkpoints(folder: Path) -> dict[str, Path]:
    """One file for each thing that may be wrong."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {folder / 'ran'}",)

    state = small(depths=(1,), widths=(4,))
    infinite = {**state, "stem.conv.weight": torch.full((4, 3, 3, 3), float("inf"))}
    nan = {**state, "head.fc.bias": torch.full((10,), float("nan"))}
    contents: dict[str, Any] = {
        "evil.ckpt": {"state_dict": Evil()},
        "inf.pt": infinite,
        "nan.pt": {"state_dict": {f"module.{key}": tensor for key, tensor in nan.items()}},
        "optimizer.pt": {"optimizer": {"lr": 0.1}, "epoch": 3},
        "number.pt": {"state_dict": {"lr": 0.1}},
        "nothing.pt": {"state_dict": {}},
        "strange.pt": {"a.weight": torch.ones(3)},
        "another.pt": state,
    }
    for name, content in contents.items():
        torch.save(content, folder / name)
    torch.save([state], folder / "list.pt")
    save_file(state, folder / "bad.safetensors", metadata={"convatlas": "{no json"})
    (folder / "half.pt").write_bytes((folder / "another.pt").read_bytes()[:3000])
    (folder / "text.pt").write_text("hello, world")
    (folder / "empty.ckpt").touch()
    (folder / "pickle.pkl").write_bytes(pickle.dumps(Evil()))
    return {path.name: path for path in folder.iterdir()}


BAD_CHECKPOINTS = [
    ("evil.ckpt", "wants to load posix.system, which may run code"),
    ("pickle.pkl", "no checkpoint"),
    ("inf.pt", "the tensor stem.conv.weight holds NaN or infinity"),
    ("nan.pt", "the tensor module.head.fc.bias holds NaN or infinity"),
    ("optimizer.pt", "no known format: it holds optimizer, epoch"),
    ("number.pt", "no known format: state_dict['lr'] is no tensor"),
    ("nothing.pt", "it holds no tensors"),
    ("strange.pt", "fits no architecture that we know; its keys are a.weight"),
    ("another.pt", "fits no architecture"),
    ("list.pt", "holds a list"),
    ("bad.safetensors", "is no JSON"),
    ("half.pt", "it is cut off"),
    ("text.pt", "no checkpoint"),
    ("empty.ckpt", "the file is empty"),
    ("missing.ckpt", "no checkpoint and no architecture of this name"),
]


@pytest.mark.parametrize(("name", "message"), BAD_CHECKPOINTS, ids=[name for name, _ in BAD_CHECKPOINTS])
def test_bad_checkpoints_are_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, message: str
) -> None:
    path = bad_checkpoints(tmp_path).get(name, tmp_path / name)
    code, out, err = run(capsys, "evaluate", path, "--data", "digits")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "ran").exists()


@needs_data
def test_the_wrong_network_is_told_with_differences_and_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "evaluate", tutorial("DenseNet"), "--arch", "resnet_uva", "--data", "digits")
    assert (code, out, err.count("\n")) == (2, "", 1)
    for text in ("another network than resnet_uva: - ", "; + model.input_net", "nearest by its keys is densenet_uva"):
        assert text in err


BAD_WORDS = [
    (["resnet_uva"], "add --weights uva"),
    (["resnet_uva", "--weights", "imagenet"], "unknown weights of resnet_uva 'imagenet'"),
    (["resnet_uvaa", "--weights", "uva"], "did you mean resnet_uva"),
    (["resnet_uvaa"], "did you mean resnet_uva"),
    (["resnet110_b", "--weights", "akamaster"], "no published weights are known for resnet110_b"),
    (["good.pt", "--weights", "uva"], "good.pt brings its weights itself"),
    ([".", "--weights", "uva"], "brings its weights itself"),
    (["good.pt", "--arch", "resnet_uva", "--mean", "nan,0,0", "--std", "1,1,1"], "needs a number"),
    (["resnet_uva", "--weights", "uva", "--arch", "densenet_uva"], "bring their network"),
    (["good.pt", "--arch", "resnet_uva"], "with which normalisation"),
    (["good.pt", "--mean", "0.5,0.5,0.5"], "--mean and --std go together"),
    (["good.pt", "--mean", "0.5,x,0.5", "--std", "1,1,1"], "must be a number"),
    (["good.pt", "--mean", "0.5", "--std", "0.2"], "takes 3 channels"),
    (["good.pt", "--mean", "0,0,0", "--std", "1,1,0"], "above 0"),
    (["good.pt", "--mean", "0,0,0", "--std", "1,1,1"], "name one with --data"),
    (["good.pt", "--mean", "0,0,0", "--std", "1,1,1", "--split", "tests"], "unknown split"),
]


@pytest.mark.parametrize(("words", "message"), BAD_WORDS, ids=[" ".join(words) for words, _ in BAD_WORDS])
def test_bad_words_are_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(small(), "good.pt")
    code, out, err = run(capsys, "evaluate", *words)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert message in err


@needs_data
def test_the_checkpoints_classes_are_those_of_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten classes of something else are not the ten digits."""
    code, out, err = run(capsys, "evaluate", tutorial("ResNet"), "--data", "digits")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "digits has the class 0, which " in err
    assert "does not know; it knows 10: airplane, automobile, bird" in err


@pytest.mark.slow
@needs_data
def test_an_evaluated_checkpoint_stands_in_a_table_with_our_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["--epochs", "1", "--set", "image_size=8", "-o", "depths=1,1", "-o", "widths=8,16", "--quiet"]
    study = tmp_path / "study"
    assert run(capsys, "train", "resnet_uva", *cifar10_words(), *words, "--out", study / "ours")[0] == 0
    for file in ("ResNet", "GoogleNet"):
        assert run(capsys, "evaluate", tutorial(file), *cifar10_words(), "--out", study / file)[0] == 0
    folder = study / "ResNet"
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["seed"], record["recipe"]["name"]) == ("finished", None, "published")
    assert record["results"]["test_top1"] == 0.906
    assert record["results"]["val_top1"] is None
    assert 0.9106 in [result["top1"] for result in record["published"]]
    (note,) = [note for note in record["notes"] if "only a part of cifar10" in note]
    code, out, err = run(capsys, "report", study)
    assert code == 0, err
    text = (study / "results.md").read_text()
    assert "| resnet_uva | 90.60 | 1 | 91.06 | cifar10 |" in text
    assert note in text
    assert note in html.unescape((study / "report.html").read_text())
    rows = json.loads((study / "results.json").read_text())["rows"]
    assert [(row["recipe"], row["val_top1_mean"] is None) for row in rows][1:] == [("published", True)] * 2
    assert {row["test_top1_mean"] for row in rows[1:]} == {0.899, 0.906}
    assert "published" in out
    assert run(capsys, "report", folder)[0] == 0
    code, out, _ = run(capsys, "evaluate", folder, *cifar10_words()[2:], "--json")  # it is a run like any other
    assert (code, json.loads(out)["correct"]) == (0, 906)
    assert run(capsys, "evaluate", tutorial("ResNet"), *cifar10_words(), "--out", folder)[0] == 0
    for source, place, message in (
        (tutorial("DenseNet"), folder, "holds another run"),
        (tutorial("DenseNet"), study, "is not empty and holds no run"),
        (tutorial("DenseNet"), "/proc/nowhere", "cannot write"),
        (study / "ours", tmp_path / "x", "is a run already"),
    ):
        code, _, err = run(capsys, "evaluate", source, *cifar10_words(), "--out", place)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err
