"""Checkpoints that mean harm: one line, in bounded memory and time, each read in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convatlas
from convatlas.bounds import VARIABLE, Allowance, permitted
from convatlas.cli import main
from convatlas.data.preprocessing import Preprocessing
from convatlas.data.sources.layouts.pickles import read_pickle
from convatlas.errors import UsageError
from convatlas.files import open_regular
from convatlas.prediction import predict_logits
from convatlas.weights import identify, open_checkpoint, read_checkpoint
from hostile_files import KINDS, examples, good_files, nested, pickled, said, small_state, stored, tensor

SCRIPT = Path(__file__).parent.parent / "bench/hostile.py"
SAMPLE = 25  # files of each kind; bench/hostile.py tries thousands
SECONDS, GROWN = 10.0, 350 * 2**20  # for one file; the process has no more than 600 MiB beyond its imports at all

Tried = dict[str, Any]


def tried(*words: str) -> list[Tried]:
    """Returns what became of the files, in a process whose memory is bound."""
    command = [sys.executable, str(SCRIPT), "--here", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found: list[Tried] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tried]:
    """What became of each example."""
    folder = tmp_path_factory.mktemp("harm")
    paths = {name: folder / f"{index}{file.suffix}" for index, (name, (file, _)) in enumerate(examples().items())}
    for name, path in paths.items():
        path.write_bytes(examples()[name][0].content)
    found = tried("--only", "torch-zip", "--files", *map(str, paths.values()))
    return dict(zip(paths, found, strict=True))


@pytest.mark.parametrize("name", examples())
def test_harm_is_refused_in_one_line(answers: dict[str, Tried], name: str) -> None:
    answer = answers[name]
    assert answer["said"] == "refused", answer["words"]
    assert re.search(examples()[name][1], answer["words"]), answer["words"]
    assert answer["seconds"] < SECONDS
    assert answer["grown"] < GROWN


@pytest.mark.slow
def test_a_sample_of_each_kind() -> None:
    """All in one process, as most of the time is spent on its imports."""
    found = tried("--inputs", str(SAMPLE), "--seed", "0")
    assert {each["kind"] for each in found} == set(KINDS)
    assert len(found) > SAMPLE * len(KINDS) * 0.9
    assert not [each for each in found if each["said"] == "fault"]
    assert max(each["seconds"] for each in found) < SECONDS
    assert max(each["grown"] for each in found) < GROWN


def test_a_fault_is_a_fault(tmp_path: Path) -> None:
    """A reader that dies, waits or takes memory is noticed: the script says so and exits with 1."""
    sys.path.insert(0, str(SCRIPT.parent))
    import hostile

    good = tmp_path / "good.pt"
    good.write_bytes(good_files()[".pt"])
    raising = hostile.try_file("any", type("Kind", (), {"read": lambda path: 1 / 0}), good, base=0)
    assert (raising.said, raising.words) == ("fault", "ZeroDivisionError: division by zero")
    assert hostile.try_file("any", KINDS["torch-zip"], good, base=-hostile.MEMORY).words.startswith("it took ")
    assert hostile.try_file("any", KINDS["torch-zip"], good, base=hostile.peak()).said == "read"
    for message in (
        "two\nlines of good.pt",
        "of another file",
        "good.pt: Traceback",
        "good.pt\x1b[2J",
        "good.pt" * 999,
    ):
        assert hostile.fault_of(message, name="good.pt")
    assert hostile.fault_of("good.pt is damaged", name="good.pt") is None


@pytest.mark.parametrize("suffix", good_files())
def test_the_files_that_are_damaged_are_good(tmp_path: Path, suffix: str) -> None:
    """Each is read before it is damaged."""
    (tmp_path / f"good{suffix}").write_bytes(good_files()[suffix])
    counts = sum(key.endswith("num_batches_tracked") for key in small_state())
    assert len(open_checkpoint(tmp_path / f"good{suffix}").state) == len(small_state()) - counts * (suffix == ".npz")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".npz", ".safetensors"])
def test_of_a_pipe_nothing_is_waited_for(tmp_path: Path, suffix: str) -> None:
    pipe, link = tmp_path / f"pipe{suffix}", tmp_path / f"link{suffix}"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(UsageError, match="is a named pipe; a regular file is needed"):
            read_checkpoint(path)
    with pytest.raises(UsageError, match="is a folder; a regular file is needed"):
        read_checkpoint(tmp_path)


def test_only_regular_files_are_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, kind in ((Path("/dev/zero"), "a device"), (tmp_path, "a folder")):
        with pytest.raises(UsageError, match=f"is {kind}; a regular file is needed"):
            open_regular(path)
    os.mkfifo(tmp_path / "data_batch_1")
    with pytest.raises(UsageError, match="data_batch_1 is a named pipe"):
        read_pickle(tmp_path / "data_batch_1")
    os.mkfifo(tmp_path / "weights.pt")
    assert main(["evaluate", str(tmp_path / "weights.pt"), "--data", "digits"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert "is a named pipe" in captured.err


# ------------------------------------------------------------------------------------------------------- the bound


def test_the_bound_grows_with_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four times its size and 64 MiB, and no more than 8 GiB beyond its size; or what the variable says."""
    mib, gib = 2**20, 2**30
    monkeypatch.delenv(VARIABLE, raising=False)
    assert [permitted(size) for size in (0, mib, 100 * gib)] == [64 * mib, 68 * mib, 108 * gib]
    path = tmp_path / "wide.pt"
    path.write_bytes(stored({"fc.weight": tensor((10**8,), (0,)), "fc.bias": tensor((4,), (1,))}).content)
    with pytest.raises(UsageError, match=rf"asks for at least 381.5 MiB of memory for its tensors.*set {VARIABLE}"):
        read_checkpoint(path)
    monkeypatch.setenv(VARIABLE, "0.5")
    assert read_checkpoint(path)["fc.weight"].shape == (10**8,)
    for wrong in ("much", "0", "-1", "nan", "inf"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(UsageError, match=f"{VARIABLE}='{wrong}' must be a number of GiB above 0"):
            Allowance(path)


def test_what_is_expanded_a_little_is_read(tmp_path: Path) -> None:
    """Strides of 0 are no harm: a first convolution for three channels made of one for grey images."""
    state = convatlas.create("resnet_uva").state_dict()
    state["stem.conv.weight"] = state["stem.conv.weight"][:, :1].expand(-1, 3, -1, -1)
    for legacy in (False, True):
        torch.save(state, tmp_path / "expanded.pt", _use_new_zipfile_serialization=not legacy)
        assert torch.equal(
            convatlas.load("resnet_uva", tmp_path / "expanded.pt").stem.conv.weight, state["stem.conv.weight"]
        )


# --------------------------------------------------------------------------------------------- the readers are right


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_are_those_that_torch_reads(tmp_path: Path, legacy: bool) -> None:
    """Types, views of one storage, strides, parameters, a subclass, plain data; the oracle is torch itself."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 8, generator=generator)
    content: dict[str, Any] = {
        "view": base[1:3, ::2],
        "transposed": base.t(),
        "shared": base,
        "scalar": torch.tensor(3),
        "none": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(base[:2].clone()),
        "buffer": torch.nn.Buffer(base[:1].clone()),
        "plain": {"a": [1, 2.5, None, True, "ü", b"bytes", (1, 2), {3}], 5: -(2**70)},
        "size": torch.Size([1, 2]),
        "type": torch.float16,
    }
    kinds = ["float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64"]
    kinds += [] if legacy else ["uint16", "float8_e4m3fn"]
    content |= {kind: (base * 3).to(getattr(torch, kind)) for kind in kinds}
    torch.save(content, tmp_path / "all.pt", _use_new_zipfile_serialization=not legacy)
    ours = read_checkpoint(tmp_path / "all.pt")
    theirs = torch.load(tmp_path / "all.pt", weights_only=True)
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        if isinstance(value, torch.Tensor):
            own = ours[name]
            assert (own.dtype, own.shape, own.stride()) == (value.dtype, value.shape, value.stride())
            assert torch.equal(own.to(torch.complex128), value.to(torch.complex128))  # not all types can be compared
        else:
            assert ours[name] == value
    assert ours["shared"].untyped_storage().data_ptr() == ours["view"].untyped_storage().data_ptr()


def test_numbers_of_a_big_machine(tmp_path: Path) -> None:
    import zipfile

    torch.save({"w": torch.arange(3.0)}, tmp_path / "little.pt")
    with zipfile.ZipFile(tmp_path / "little.pt") as old, zipfile.ZipFile(tmp_path / "big.pt", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            content = b"big" if name.endswith("byteorder") else content
            new.writestr(name, np.frombuffer(content, "<f4").astype(">f4").tobytes() if "/data/0" in name else content)
    assert torch.equal(read_checkpoint(tmp_path / "big.pt")["w"], torch.arange(3.0))


class Schedule:
    """A class of a training script."""

    def __init__(self) -> None:
        self.best = 0.5


def test_numpy_numbers_and_objects_beside_the_weights(tmp_path: Path) -> None:
    """Numbers are read; of the others the note says which were left out, and nothing of them runs."""
    state = convatlas.create("resnet_uva").state_dict()
    path = tmp_path / "theirs.pt"
    for legacy in (False, True):
        numbers = {
            "best_acc1": np.float64(71.25),
            "epoch": np.int64(-3),
            "half": np.float16(0.5),
            "done": np.bool_(True),
        }
        torch.save({"state_dict": state, **numbers}, path, _use_new_zipfile_serialization=not legacy)
        content = read_checkpoint(path)
        assert {name: content[name] for name in numbers} == {"best_acc1": 71.25, "epoch": -3, "half": 0.5, "done": True}
        assert type(content["best_acc1"]) is float
        assert identify(open_checkpoint(path), arch="resnet_uva").notes == ()
        objects = {"best_acc1": Schedule(), "args": {"steps": [1, Schedule()], "lr": 0.1}, "history": np.arange(3)}
        torch.save({"state_dict": state, **objects}, path, _use_new_zipfile_serialization=not legacy)
        (note,) = identify(open_checkpoint(path), arch="resnet_uva").notes
        assert note.startswith("left out, as only code of their own could read them: best_acc1 (")
        assert "Schedule), args.steps.1 (" in note
        assert note.endswith("history (numpy.ndarray)")
        with pytest.raises(UsageError, match=r"wants to load .*Schedule, which may run code"):
            read_checkpoint(path)
        torch.save({"state_dict": Schedule()}, path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(UsageError, match=r"wants to load .*Schedule, which may run code; save the state dict"):
            open_checkpoint(path)


def test_a_class_count_that_only_one_number_says() -> None:
    """A record may say one of the two counts; the other is that of the tensors."""
    from convatlas.weights import checkpoint_of

    state = convatlas.create("resnet_uva", num_classes=7, in_channels=1).state_dict()
    for counts in ({}, {"num_classes": 7}, {"in_channels": 1}, {"num_classes": 7, "in_channels": 1}):
        entry = {"architecture": {"name": "resnet_uva", **counts}}
        found = identify(checkpoint_of({"state_dict": state, "convatlas": entry}))
        assert (found.num_classes, found.in_channels) == (7, 1)


@pytest.mark.slow
def test_deep_nesting_is_no_harm_where_nobody_looks(tmp_path: Path) -> None:
    from hostile_files import torch_zip

    path = tmp_path / "deep.pt"
    path.write_bytes(torch_zip({"fc.weight": tensor((4,), (1,)), "args": nested(10**5)}, {"0": bytes(16)}))
    assert torch.equal(read_checkpoint(path)["fc.weight"], torch.zeros(4))
    path.write_bytes(pickled({"data": nested(10**5)}))
    assert "data" in read_pickle(path)


def test_what_a_checkpoint_says_of_the_network_is_compared_with_its_tensors(tmp_path: Path) -> None:
    from hostile_files import record

    path = tmp_path / "said.safetensors"
    path.write_bytes(said(record()).content)
    assert identify(open_checkpoint(path)).options == {"depths": (1,), "widths": (4,)}


def test_large_images_are_answered_few_at_a_time() -> None:
    """A checkpoint may ask for 4,096 pixels: 64 such images at once would take 13 GB, the network's answers more."""
    seen: list[int] = []

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            return images.mean((2, 3)) * self.scale

    images = torch.randint(0, 256, (66, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    small = predict_logits(Network(), images, preprocessing=Preprocessing(8, (0.0,), (1.0,)))
    assert seen == [64, 2]
    seen.clear()
    large = predict_logits(Network(), images[:5], preprocessing=Preprocessing(2560, (0.0,), (1.0,)))
    assert seen == [4, 1]
    assert torch.allclose(large, small[:5], atol=0.01)
