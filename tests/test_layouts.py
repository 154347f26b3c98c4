"""Checkpoints in others' layouts and wrappings, heads for other class counts, and ImageNet's preprocessing."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import convatlas
from convatlas import architectures as registry
from convatlas.architectures import architecture, list_architectures
from convatlas.cli import main
from convatlas.complexity import check_training, complexity, meta_network
from convatlas.data import class_names
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.prediction import open_predictor
from convatlas.run import read_checkpoint_record
from convatlas.weights import checkpoint_of, identify, open_checkpoint, preprocessing_said
from data_files import torchvision_names
from hostile_files import small_state

SMALL = {"depths": (1, 1, 1, 1)}


@pytest.fixture(scope="module")
def resnet18() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return torchvision_names(convatlas.create("resnet18").state_dict())


def doubled(state: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Other weights under the same names."""
    return {prefix + key: tensor * 2 for key, tensor in state.items()}


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in state.items()}


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "network.", "net.", "_orig_mod.", "model._orig_mod.", "module.model.", "ema."]
)
def test_prefixes(resnet18: dict[str, Tensor], prefix: str) -> None:
    network = convatlas.load("resnet18", prefixed(resnet18, prefix))
    assert torch.equal(network.stem.conv.conv.weight, resnet18["conv1.weight"])
    assert not network.training


@pytest.mark.parametrize("entry", ["state_dict_ema", "model_ema", "ema_state_dict"])
def test_of_two_networks_the_averaged_one_is_taken_and_said(resnet18: dict[str, Tensor], entry: str) -> None:
    averaged = {**prefixed(resnet18, "module."), "n_averaged": torch.tensor(3)}
    with pytest.warns(UserWarning, match=f"averaged weights are taken \\({entry}, not state_dict\\)"):
        network = convatlas.load("resnet18", {"state_dict": doubled(resnet18), entry: averaged})
    assert torch.equal(network.head.fc.weight, resnet18["fc.weight"])


@pytest.mark.slow
def test_the_command_line_says_which_of_two_networks_it_asks(
    resnet18: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": doubled(resnet18), "state_dict_ema": resnet18}, tmp_path / "both.pth")
    assert any("averaged weights are taken" in note for note in open_predictor(tmp_path / "both.pth").notes)
    Image.new("RGB", (64, 64), "orange").save(tmp_path / "photo.png")
    assert main(["predict", str(tmp_path / "both.pth"), str(tmp_path / "photo.png")]) == 0
    assert "averaged weights are taken (state_dict_ema, not state_dict)" in " ".join(capsys.readouterr().err.split())


def test_a_module_that_holds_both_networks(resnet18: dict[str, Tensor]) -> None:
    both = {
        **doubled(resnet18, "model."),
        **prefixed(resnet18, "ema_model.module."),
        "ema_model.n_averaged": torch.ones(1),
    }
    with pytest.warns(UserWarning, match="of the two networks in it the averaged one"):
        network = convatlas.load("resnet18", {"state_dict": both})
    assert torch.equal(network.head.fc.weight, resnet18["fc.weight"])


def loaded(content: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Returns which weights a checkpoint of resnet18 gives, `plain` or `averaged` (twice as large), and the notes."""
    found = identify(checkpoint_of(content), arch="resnet18")
    size = found.state["head.fc.weight"].abs().mean().item()
    return ("plain" if size < 0.05 else "averaged"), found.notes


@pytest.fixture(scope="module")
def averaged(resnet18: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights that are told from the plain ones by their size."""
    return {key: tensor * 4 if key == "fc.weight" else tensor for key, tensor in resnet18.items()}


def without_statistics(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters alone, of which many keep averages."""
    return {key: tensor for key, tensor in state.items() if not key.endswith(("_mean", "_var", "_tracked"))}


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("", "module."),
        ("module.", "module."),
        ("_orig_mod.", "_orig_mod.module."),
        ("model.module.", "net."),
        ("net.", "network.module.model."),
        ("", "_fsdp_wrapped_module._checkpoint_wrapped_module."),
    ],
)
def test_words_of_wrappers_count_wherever_they_stand(outer: str, inner: str) -> None:
    """Around the whole network, around a part of it, and several deep."""
    state = convatlas.create("vgg11_bn_cifar").state_dict()
    wrapped = {outer + key.replace(".conv1.", f".{inner}conv1."): tensor for key, tensor in state.items()}
    network = convatlas.load("vgg11_bn_cifar", {"state_dict": wrapped})
    assert all(torch.equal(network.state_dict()[key], tensor) for key, tensor in state.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_networks_as_the_imagenet_script_saves_them(name: str) -> None:
    """`model.features = DataParallel(model.features)`, under torchvision's names."""
    state = convatlas.create(name).state_dict()
    table = next(weights.keys for weights in architecture(name).weights if weights.name == "torchvision")
    assert isinstance(table, Mapping)
    theirs = {}
    for key, tensor in state.items():
        part = next(ours for ours in table.values() if ours and key.startswith(f"{ours}."))
        theirs[next(row for row in table if table[row] == part) + key.removeprefix(part)] = tensor
    assert "features.0.weight" in theirs
    for word in ("module.", "_orig_mod.module."):
        wrapped = {key.replace("features.", f"features.{word}"): tensor for key, tensor in theirs.items()}
        network = convatlas.load(name, {"state_dict": wrapped, "best_acc1": 56.5, "epoch": 90})
        assert all(torch.equal(network.state_dict()[key], tensor) for key, tensor in state.items())


def test_words_of_wrappers_that_a_network_has_itself(tmp_path: Path) -> None:
    """A user's own network may have parts called `model` and `module`, and buffers of any name."""
    (tmp_path / "own.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Own(nn.Module):\n"
        "    def __init__(self, num_classes=10, in_channels=3):\n"
        "        super().__init__()\n"
        "        self.module = nn.Sequential(nn.Conv2d(in_channels, 4, 3))\n"
        "        self.model = nn.Linear(4, num_classes)\n"
        "        self.register_buffer('num_updates', torch.zeros((), dtype=torch.long))\n"
        "        self.register_buffer('ema_hook', torch.zeros(3))\n"
        "    def forward(self, x):\n"
        "        return self.model(self.module(x).mean((2, 3)))\n"
    )
    name = f"{tmp_path / 'own.py'}:Own"
    state = convatlas.create(name).state_dict()
    state["num_updates"] += 7
    for wrapped in (state, prefixed(state, "module."), prefixed(state, "model.module."), {"state_dict": state}):
        network = convatlas.load(name, wrapped)
        assert all(torch.equal(network.state_dict()[key], tensor) for key, tensor in state.items())


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_entries_of_profilers_and_hooks_are_left_out_and_said(resnet18: dict[str, Tensor], prefix: str) -> None:
    sides = {
        "total_ops": torch.zeros(1, dtype=torch.float64),
        "total_params": torch.full((1,), float("nan")),
        "layer1.0.conv1.total_ops": torch.zeros(1),
        "layer1.0.conv1.activation": torch.randn(2, 64, 8, 8),
        "layer2.0.forward_hook": torch.zeros(3),
        "steps": torch.tensor(7),
        "ready": torch.tensor(True),
    }
    network, notes = loaded({"state_dict": prefixed({**resnet18, **sides}, prefix)})
    assert (network, notes) == (
        "plain",
        (f"left out, as they are no weights: {prefix}total_ops, {prefix}total_params, "
         f"{prefix}layer1.0.conv1.total_ops and 4 more",),
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"\+ layer1\.0\.conv1\.gamma \(unknown\)|\+ .*gamma"):
        loaded({**resnet18, "layer1.0.conv1.gamma": torch.ones(64)})  # a weight of another network is none of these


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ({"ema": {}}, "not the averaged ones under ema: it holds none"),
        ({"ema": {"decay": 0.9, "num_updates": 3, "shadow_params": [torch.ones(3)]}}, "its tensors have no names"),
        ({"model_ema": [torch.ones(3)]}, "not the averaged ones under model_ema: its tensors have no names"),
        ({"ema": {"conv9.weight": torch.ones(3)}}, "its names or shapes are not those of the plain ones"),
        ({"ema": {"conv1.weight": torch.ones(3)}}, "its names or shapes are not those of the plain ones"),
        ({"swa_state": {"n_averaged": torch.tensor(3)}}, "its names or shapes are not those of the plain ones"),
    ],
    ids=["empty", "listed", "list", "names", "shapes", "counter"],
)
@pytest.mark.parametrize("place", ["model", "state_dict"])
def test_averages_that_cannot_be_named_leave_the_plain_weights(
    resnet18: dict[str, Tensor], beside: dict[str, Any], said: str, place: str
) -> None:
    network, notes = loaded({place: resnet18, **beside})
    assert network == "plain"
    assert len(notes) == 1
    assert notes[0].startswith(f"the plain weights are taken ({place}), ")
    assert said in notes[0]


def test_nothing_is_said_of_averages_that_are_none(resnet18: dict[str, Tensor]) -> None:
    for beside in ({"ema": None}, {"ema_decay": 0.999}, {"avg_loss": [0.3, 0.2]}, {"average": "none"}):
        assert loaded({"model": resnet18, **beside}) == ("plain", ())


@pytest.mark.parametrize(
    "place",
    ["ema", "model_ema", "ema_model", "modelEMA", "state_dict_ema", "ema_state_dict", "ema_model_state_dict",
     "swa_state_dict", "averaged_model", "avg_model", "polyak"],
)  # fmt: skip
@pytest.mark.parametrize("inner", ["", "shadow", "module", "state_dict", "theirs"])
def test_averages_of_any_common_spelling_are_taken_and_said(
    resnet18: dict[str, Tensor], averaged: dict[str, Tensor], place: str, inner: str
) -> None:
    beside = {inner: averaged, "decay": 0.999} if inner else averaged
    where = f"{place}.{inner}" if inner else place
    expected = (f"the averaged weights are taken ({where}, not model)",)
    assert loaded({"model": prefixed(resnet18, "module."), place: beside}) == ("averaged", expected)


def test_averages_of_parameters_alone_have_the_statistics_of_the_plain_weights(
    resnet18: dict[str, Tensor], averaged: dict[str, Tensor]
) -> None:
    """Entry by entry: the norms' statistics, of which there is no average, are those of the plain weights."""
    plain = {**resnet18, "bn1.running_mean": torch.full((64,), 3.0)}
    content = {"model": prefixed(plain, "module."), "ema": {"shadow": without_statistics(averaged), "decay": 0.9}}
    network, (note,) = loaded(content)
    assert network == "averaged"
    assert note.endswith("; 60 tensors of which it holds no average are those of model")
    assert identify(checkpoint_of(content), arch="resnet18").state["stem.conv.norm.running_mean"].mean() == 3
    both = {**prefixed(plain, "model."), **prefixed(without_statistics(averaged), "ema_model.module.")}
    network, (note,) = loaded({"state_dict": {**both, "ema_model.n_averaged": torch.tensor(3)}})
    assert network == "averaged"
    assert note.startswith("of the two networks in it the averaged one (ema_model.*) is taken; 60 tensors")


def test_averages_without_dots_cannot_be_named(resnet18: dict[str, Tensor], averaged: dict[str, Tensor]) -> None:
    """As latent diffusion's code registers them: one name without dots for each parameter."""
    beside = {f"model_ema.{key.replace('.', '')}": t for key, t in without_statistics(averaged).items()}
    counters = {"model_ema.decay": torch.tensor(0.9), "model_ema.num_updates": torch.tensor(3)}
    network, notes = loaded({"state_dict": {**prefixed(resnet18, "model."), **beside, **counters}})
    assert network == "plain"
    assert "not the averaged ones under model_ema.*: their names or shapes are not those" in notes[0]


@pytest.mark.slow
def test_one_strange_entry_does_not_spoil_a_file(resnet18: dict[str, Tensor]) -> None:
    strange = {"epoch": 3, "name": "resnet", "sparse": torch.eye(3).to_sparse(), 5: torch.ones(3), "x\ny": None}
    network, notes = loaded({"model": {**resnet18, **strange}})
    assert network == "plain"
    named = "model['epoch'], model['name'], model['sparse'] and 2 more"
    assert notes == (f"left out, as they are no tensors of real numbers: {named}",)
    assert loaded({**resnet18, "epoch": 3, "optimizer": {"state": {}}})[0] == "plain"
    assert loaded({"checkpoint": {"state_dict": resnet18}, "epoch": torch.tensor(3)}) == ("plain", ())
    assert loaded({"weights": resnet18, "model": {"depth": 18}}) == ("plain", ())
    for missing in ("sparse", "complex"):
        odd = resnet18["fc.weight"].to_sparse() if missing == "sparse" else resnet18["fc.weight"].to(torch.complex64)
        with pytest.raises(UsageError, match=r"- head.fc.weight \(missing\).*; left out, .*: fc.weight"):
            loaded({**resnet18, "fc.weight": odd})
    with pytest.raises(UsageError, match="holds several networks, student, teacher; save the state dict of the one"):
        loaded({"student": resnet18, "teacher": resnet18})


STRANGE_VALUES = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers()),
    st.dictionaries(st.text(), st.integers()), st.builds(torch.zeros, st.integers(0, 3), dtype=st.just(torch.int64)),
)  # fmt: skip
STRANGE_NAMES = st.one_of(
    st.text(), st.integers(), st.none(), st.sampled_from(["ema", "args", "optimizer", "swa_model", "step", "total_ops"])
)
WRAPPERS = st.lists(st.sampled_from(["module", "model", "_orig_mod", "net", "network"]), max_size=3)


@pytest.mark.slow
@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(
    beside=st.dictionaries(STRANGE_NAMES, STRANGE_VALUES, max_size=4),
    inside=st.dictionaries(STRANGE_NAMES.filter(lambda name: name != "step"), STRANGE_VALUES, max_size=3),
    front=WRAPPERS,
    middle=WRAPPERS,
    place=st.sampled_from(["model", "state_dict", "net", "model_state_dict"]),
)
def test_no_entry_beside_good_weights_spoils_them(
    beside: dict[Any, Any], inside: dict[Any, Any], front: list[str], middle: list[str], place: str
) -> None:
    """Any wrapping, and anything beside and among the tensors."""
    state = small_state()
    within = "".join(f"{word}." for word in middle)
    named = {f"{'.'.join([*front, ''])}{key.replace('stage1.', f'stage1.{within}', 1)}": t for key, t in state.items()}
    odd = {key: value for key, value in inside.items() if not isinstance(value, Tensor) or value.numel() <= 1}
    content = {**beside, place: {**odd, **named}}
    found = identify(checkpoint_of(content), arch="resnet_uva", options={"depths": (1,), "widths": (4,)})
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[key], tensor) for key, tensor in state.items())


def test_settings_of_a_training_script_do_no_harm(resnet18: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"model": resnet18, "args": argparse.Namespace(lr=0.1), "epoch": 3}, tmp_path / "model.pth")
    assert identify(open_checkpoint(tmp_path / "model.pth")).architecture.name == "resnet18"


@pytest.mark.slow
def test_a_head_of_convolutions_is_the_same_numbers(resnet18: dict[str, Tensor]) -> None:
    as_convolution = {**resnet18, "fc.weight": resnet18["fc.weight"].view(1000, 512, 1, 1)}
    assert torch.equal(convatlas.load("resnet18", as_convolution).head.fc.weight, resnet18["fc.weight"])
    with pytest.raises(UsageError, match=r"! head\.fc\.weight \(shape \(1000, 256, 1, 1\), here \(1000, 512\)\)"):
        convatlas.load("resnet18", {**resnet18, "fc.weight": torch.zeros(1000, 256, 1, 1)})


@pytest.mark.parametrize("wrong", ["resnet34", "resnet50", "vgg11_bn_cifar", "densenet121"])
def test_of_the_wrong_variant_the_nearest_is_named(resnet18: dict[str, Tensor], wrong: str) -> None:
    with pytest.raises(UsageError, match=f"is of another network than {wrong}: .*nearest by its keys is resnet18$"):
        convatlas.load(wrong, resnet18)


def test_what_is_beside_the_network_is_left_out(resnet18: dict[str, Tensor]) -> None:
    beside = {**prefixed(resnet18, "model."), "criterion.weight": torch.ones(1000)}
    with pytest.warns(UserWarning, match="left out, as they lie beside the network: criterion.weight"):
        assert torch.equal(convatlas.load("resnet18", {"state_dict": beside}).head.fc.weight, resnet18["fc.weight"])
    for state in (prefixed(resnet18, "backbone."), prefixed(resnet18, "student.encoder.")):
        assert torch.equal(convatlas.load("resnet18", {"state_dict": state}).head.fc.weight, resnet18["fc.weight"])


def test_options_that_leave_the_tensors_as_they_are() -> None:
    state = convatlas.create("densenet_bc_100_12", depths=(1, 1, 1)).state_dict()
    network = convatlas.load("densenet_bc_100_12", state, depths=(1, 1, 1), memory_efficient=True, dropout=0.2)
    assert any(isinstance(module, torch.nn.Dropout) for module in network.modules())
    with pytest.raises(UsageError, match="another network"):
        convatlas.load("densenet_bc_100_12", state)


def test_what_cannot_be_built_is_refused_before_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convatlas.weights.named.download", lambda weights: pytest.fail("downloaded"))
    for wrong in ({"num_classes": 0}, {"num_classes": True}, {"dropout": 2.0}, {"in_channels": 1}):
        with pytest.raises(UsageError):
            convatlas.create("googlenet", weights="torchvision", **wrong)


def test_a_source_that_is_none() -> None:
    with pytest.raises(UsageError, match="a file, a run's folder or a state dict, not int"):
        convatlas.load("resnet20", 5)  # type: ignore[arg-type]


def test_kuanglius_layouts() -> None:
    """The rows of a table by theirs names, as their files have them."""
    state = convatlas.create("vgg11_bn_cifar").state_dict()
    positions = {"stage1": (0,), "stage2": (4,), "stage3": (8, 11), "stage4": (15, 18), "stage5": (22, 25)}
    theirs = {"classifier.weight": state["head.fc.weight"], "classifier.bias": state["head.fc.bias"]}
    for stage, places in positions.items():
        for index, place in enumerate(places, start=1):
            for child, shift in (("conv", 0), ("norm", 1)):
                prefix = f"{stage}.conv{index}.{child}."
                theirs |= {
                    f"features.{place + shift}.{key.removeprefix(prefix)}": tensor
                    for key, tensor in state.items()
                    if key.startswith(prefix)
                }
    loaded = convatlas.load("vgg11_bn_cifar", {"net": prefixed(theirs, "module."), "acc": 92.0, "epoch": 3})
    assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in state.items())
    stem = convatlas.create("resnet18_cifar_stem").state_dict()
    renamed = {
        re.sub(r"^stem\.conv", "conv1", re.sub(r"^stem\.norm", "bn1", re.sub(r"^fc", "linear", key))).replace(
            "downsample", "shortcut"
        ): tensor
        for key, tensor in torchvision_names(stem).items()
    }
    assert torch.equal(convatlas.load("resnet18_cifar_stem", renamed).head.fc.weight, stem["head.fc.weight"])


def test_channels_and_classes_are_those_of_the_file() -> None:
    for name in ("vgg11_bn_cifar", "nin_cifar", "lenet5", "alexnet_cifar_stem"):
        state = convatlas.create(name, num_classes=7, in_channels=2).state_dict()
        identified = identify(checkpoint_of(state), arch=name)
        assert (identified.num_classes, identified.in_channels) == (7, 2)


@pytest.mark.parametrize(
    ("name", "kept", "fresh"),
    [
        ("nin_textbook", "stage3.conv3.conv.weight", "head.conv1.conv.weight"),
        ("vgg11_bn_cifar", "stage5.conv2.conv.weight", "head.fc.weight"),
        ("googlenet_aux", "auxiliary.inception4a.fc1.weight", "auxiliary.inception4a.fc.weight"),
    ],
)
def test_another_class_count_replaces_every_layer_that_it_shapes(name: str, kept: str, fresh: str) -> None:
    state = convatlas.create(name).state_dict()
    with pytest.warns(UserWarning, match="is replaced by an untrained one for 7"):
        loaded = convatlas.load(name, state, num_classes=7).state_dict()
    assert torch.equal(loaded[kept], state[kept])
    assert loaded[fresh].shape[0] == 7
    assert state.keys() == loaded.keys()


# ------------------------------------------------------------------------------------------- preprocessing, class names


def test_the_shorter_side_then_the_centre() -> None:
    """600 x 400 pixels to 384 x 256, then columns 80 to 303 and rows 16 to 239: as torchvision's transforms have it."""
    image = torch.randint(0, 256, (1, 3, 400, 600), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    cut = Preprocessing(224, (0.0,) * 3, (1.0,) * 3, shorter_side=256).resize(image)
    with_pillow = Image.fromarray(image[0].permute(1, 2, 0).numpy()).resize((384, 256), Image.Resampling.BILINEAR)
    expected = np.asarray(with_pillow)[16:240, 80:304] / 255
    assert np.abs(cut[0].permute(1, 2, 0).numpy() - expected).max() < 1.01 / 255  # Pillow rounds to 8 bits, twice


def test_a_long_image_is_resized_whole() -> None:
    """411 x 120 pixels to 876 x 256, then columns 326 to 549: as torchvision's transforms have it."""
    image = torch.randint(0, 256, (1, 3, 120, 411), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    cut = Preprocessing(224, (0.0,) * 3, (1.0,) * 3, shorter_side=256).resize(image)
    whole = F.interpolate(image / 255, size=(256, 876), mode="bilinear", antialias=True)
    assert torch.equal(cut, whole[..., 16:240, 326:550])


def test_a_panorama_is_cut_before_it_is_resized() -> None:
    """Its middle only is asked for; resized whole it would have 256 times 256,000 pixels."""
    strip = torch.zeros(1, 3, 4, 4000, dtype=torch.uint8)
    strip[..., 1998:2002] = 255
    pixels = Preprocessing(224, (0.0,) * 3, (1.0,) * 3, shorter_side=256).resize(strip)
    assert pixels.shape == (1, 3, 224, 224)
    assert pixels[..., 112].mean() == 1


def test_preprocessing_of_published_weights() -> None:
    expected = convatlas.preprocessing("googlenet", "torchvision")
    assert (expected.mean, expected.std, expected.shorter_side) == ((0.5,) * 3, (0.5,) * 3, 256)
    assert convatlas.preprocessing("resnet50", "torchvision_v2").shorter_side == 232
    with pytest.raises(UsageError, match="unknown weights of resnet50 'imagenet'"):
        convatlas.preprocessing("resnet50", "imagenet")


def test_bicubic_stays_within_the_range() -> None:
    image = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    image[..., 4:] = 255
    pixels = Preprocessing(16, (0.0,), (1.0,), shorter_side=16, interpolation="bicubic").resize(image)
    assert (pixels.min().item(), pixels.max().item()) == (0, 1)


def test_the_preprocessing_of_a_record() -> None:
    network = {"name": "lenet5", "options": {}, "num_classes": 10, "in_channels": 1}

    def said(**stored: object) -> Preprocessing:
        content = {"preprocessing": {"image_size": 224, "mean": [0.5], "std": [0.5], **stored}}
        record = read_checkpoint_record({"architecture": network, **content}, label="it")
        return preprocessing_said(record.preprocessing, label="it")

    assert said().shorter_side is None
    assert said(shorter_side=256, interpolation="bicubic").interpolation == "bicubic"
    for wrong in ({"shorter_side": 100}, {"shorter_side": "256"}, {"interpolation": "nearest"}):
        with pytest.raises(UsageError, match="preprocessing cannot be read"):
            said(**wrong)
    with pytest.raises(UsageError, match="preprocessing cannot be read: it is missing"):
        preprocessing_said(None, label="it")


def test_class_names_of_imagenet() -> None:
    names = class_names("imagenet")
    assert len(set(names)) == 1000
    assert (names[0], names[207], names[281], names[999]) == ("tench", "golden retriever", "tabby", "toilet tissue")


def test_published_weights_answer_with_class_names(
    resnet18: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file in the published layout: size, crop, normalisation and names of the classes come with it."""
    torch.save(resnet18, tmp_path / "resnet18.pth")
    predictor = open_predictor(tmp_path / "resnet18.pth", arch="resnet18")
    expected = Preprocessing(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), shorter_side=256)
    assert predictor.preprocessing == expected
    assert predictor.class_names is not None
    assert predictor.class_names[1] == "goldfish"
    assert any("normalisation taken from torchvision of resnet18" in note for note in predictor.notes)
    Image.new("RGB", (320, 240), "orange").save(tmp_path / "photo.png")
    assert main(["predict", str(tmp_path / "resnet18.pth"), str(tmp_path / "photo.png"), "--arch", "resnet18"]) == 0
    out = capsys.readouterr().out
    assert any(name in out for name in predictor.class_names)


def test_what_was_trained_on_imagenet_is_not_evaluated_on_it_here(
    resnet18: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(resnet18, tmp_path / "resnet18.pth")
    assert main(["evaluate", str(tmp_path / "resnet18.pth"), "--arch", "resnet18"]) == 2
    assert "was trained on imagenet, which ConvAtlas does not read" in capsys.readouterr().err


def test_no_weights_are_downloaded_without_a_checksum() -> None:
    for name in list_architectures():
        for weights in architecture(name).weights:
            assert re.fullmatch(r"[0-9a-f]{8,64}", weights.sha256), f"{name}: {weights.name}"
            in_the_name = f"-{weights.sha256}." in weights.url
            assert in_the_name or len(weights.sha256) == 64, f"{name}: {weights.name}"


def test_a_file_name_whose_hash_is_not_the_files(
    resnet18: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The beginning of the hash in the publisher's file name is checked like a whole one."""
    import pooch

    row = architecture("resnet18")
    torch.save(resnet18, tmp_path / "other.pth")
    weights = replace(row.weights[0], url=(tmp_path / "other.pth").as_uri())
    monkeypatch.setitem(registry._REGISTRY, "resnet18", replace(row, weights=(weights,)))
    monkeypatch.setattr("convatlas.download.ATTEMPTS", 1)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    with pytest.raises(UsageError, match=r"put the file with sha256 f37072fd\.\.\. at"):
        convatlas.create("resnet18", weights="torchvision")


# ------------------------------------------------------------------------------------------------------- images' sizes


@pytest.mark.parametrize(
    ("name", "smallest"),
    [("alexnet", 63), ("vgg11", 32), ("googlenet", 15), ("resnet18", 1), ("densenet121", 29), ("lenet5", 32)],
)
def test_the_smallest_image_is_said(name: str, smallest: int) -> None:
    """Those of torchvision's as it states them itself (`min_size`)."""
    assert complexity(architecture(name), image_size=smallest).params
    if smallest > 1:
        with pytest.raises(UsageError, match=f"the smallest that it takes has {smallest} x {smallest} pixels"):
            complexity(architecture(name), image_size=smallest - 1)


def test_auxiliary_heads_that_cannot_train_on_small_images(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In eval mode the network takes them, so that the heads are asked before the training, not in its first step."""
    words = ["train", "googlenet_original_aux", "--data", "digits", "--set", "image_size=64", "--out", str(tmp_path)]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "the auxiliary heads of googlenet_original_aux cannot take an image of 64 pixels" in error
    assert "the smallest that it takes has 191 x 191 pixels" in error
    row = architecture("googlenet_original_aux")
    check_training(row, meta_network(row), in_channels=3, image_size=191)


def test_an_image_too_large_for_linear_layers() -> None:
    with pytest.raises(UsageError, match="it is made for 32 x 32 pixels"):
        complexity(architecture("lenet5"), image_size=64)


def test_pairs_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "vgg11_textbook", "-o", "blocks=1x16,1x32,2x64,2x128,2x128"]) == 0
    assert "43,093,610" in capsys.readouterr().out
    assert main(["show", "vgg11_textbook"]) == 0
    assert "blocks=1x64,1x128,2x256,2x512,2x512" in " ".join(capsys.readouterr().out.split())
    for wrong in ("1x16", "16,32,64,128,128", "1x16,1x32,2x64,2x128,2x0", "1x16,1x32,2x64,2x128,ax3"):
        assert main(["show", "vgg11_textbook", "-o", f"blocks={wrong}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
