"""BiT, its published `.npz` files, and pre-activation ResNets of the same units: counts, weights, parity, faults."""

from __future__ import annotations

import io
import math
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import convatlas
from convatlas.architecture import Architecture
from convatlas.architectures import architecture, list_architectures
from convatlas.architectures.bit.blocks import StandardizedConv2d
from convatlas.architectures.meta import without_memory
from convatlas.checks import check_architecture
from convatlas.cli import main
from convatlas.complexity import complexity
from convatlas.errors import UsageError
from convatlas.weights import checkpoint_of, identify, read_checkpoint
from counted import Counted
from references.bit import (
    CLASSES,
    DEPTHS,
    GROUPS,
    OPTIONS,
    STEM,
    WIDTHS,
    bit_logits,
    exact,
    published_arrays,
    published_shapes,
    released_names,
)

# -------------------------------------------------------------------------------------------------- counts and shapes

# name: parameters, MACs, pixels, convolutions, norms; typed here a second time.
COUNTS = {
    "bit_resnet50x1": (25_549_352, 4_089_184_256, 224, 53, 49),
    "bit_resnet50x3": (217_319_080, 36_082_286_592, 224, 53, 49),
    "bit_resnet101x1": (44_541_480, 7_801_405_440, 224, 104, 100),
    "bit_resnet101x3": (387_934_888, 69_492_277_248, 224, 104, 100),
    "bit_resnet152x2": (236_335_208, 45_814_382_592, 224, 155, 151),
    "bit_resnet152x4": (936_533_224, 182_777_282_560, 224, 155, 151),
    "bit_resnet26_cifar": (880_474, 45_798_400, 32, 29, 25),
    "preact_resnet50": (25_549_352, 4_089_184_256, 224, 53, 49),
    "preact_resnet101": (44_541_480, 7_801_405_440, 224, 104, 100),
    "preact_resnet152": (60_185_128, 11_513_626_624, 224, 155, 151),
    "preact_resnet18_cifar": (11_171_146, 555_422_720, 32, 20, 16),
}
# Parameters with the heads of ImageNet-21k and CIFAR-10.
HEADS = {
    "bit_resnet50x1": (68_256_659, 23_520_842),
    "bit_resnet50x3": (345_399_315, 211_235_530),
    "bit_resnet101x1": (87_248_787, 42_512_970),
    "bit_resnet101x3": (516_015_123, 381_851_338),
    "bit_resnet152x2": (321_728_979, 232_279_178),
    "bit_resnet152x4": (1_107_299_923, 928_422_154),
}
# MACs with the latter, at the 128 pixels of fine-tuning.
FINE_TUNED = {"bit_resnet50x1": 1_334_595_584, "bit_resnet101x3": 22_689_411_072}


def outline(name: str, **options: Any) -> nn.Module:
    return without_memory(architecture(name), **options)


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(counted: Callable[[str], Counted], name: str) -> None:
    params, macs, pixels, convs, norms = COUNTS[name]
    row = architecture(name)
    assert (row.params, row.macs, row.image_size) == (params, macs, pixels)
    assert counted(name).parameters == params
    kinds = counted(name).modules
    bit = row.family == "bit"
    assert kinds["StandardizedConv2d" if bit else "Conv2d"] == convs
    assert kinds["GroupNorm" if bit else "BatchNorm2d"] == norms
    assert kinds["Linear"] == 1


def test_every_bit_stands_in_the_table() -> None:
    assert {name for name in list_architectures() if architecture(name).family == "bit"} < COUNTS.keys()


@pytest.mark.parametrize("name", HEADS)
def test_counts_with_other_heads(name: str) -> None:
    counts = [sum(p.numel() for p in outline(name, num_classes=n).parameters()) for n in (21_843, 10)]
    assert tuple(counts) == HEADS[name]


@pytest.mark.parametrize("name", FINE_TUNED)
def test_macs_of_fine_tuning(name: str) -> None:
    assert complexity(architecture(name), num_classes=10, image_size=128).macs == FINE_TUNED[name]


@pytest.mark.parametrize(
    ("name", "width"),
    [("bit_resnet50x3", 192), ("preact_resnet50", 64)],
)
def test_stage_shapes(counted: Callable[[str], Counted], name: str, width: int) -> None:
    stages = {stage.name: stage.shape for stage in counted(name).complexity.stages}
    expected = {f"stage{n}": (width * 2 ** (n + 1), 112 // 2**n, 112 // 2**n) for n in range(1, 5)}
    assert stages == {
        "stem": (width, 56, 56),
        **expected,
        "norm": expected["stage4"],
        "act": expected["stage4"],
        "head": (1000,),
    }


def test_published_accuracies_say_what_was_trained_on() -> None:
    for name in HEADS:
        for result in architecture(name).published:
            assert re.search(r"BiT-M \(ImageNet-21k\)|BiT-L \(JFT-300M\)", result.source)
    best = {(r.dataset, r.top1) for r in architecture("bit_resnet152x4").published}
    assert {("imagenet", 0.8754), ("imagenet", 0.854), ("cifar10", 0.9937), ("cifar100", 0.9217)} <= best


def test_both_families_are_made_of_one_unit(counted: Callable[[str], Counted]) -> None:
    """The same layers under the same names, but for what batch norm remembers."""
    batch, group = (counted(name).tensors for name in ("preact_resnet50", "bit_resnet50x1"))
    kept = {key: shape for key, shape in batch.items() if not re.search("running|tracked", key)}
    assert kept == group


# ------------------------------------------------------------------------------------------------------ initial weights


def ratios(network: nn.Module, expected: Callable[[nn.Conv2d], float]) -> list[float]:
    """Each convolution's mean square weight beside the expected one, in units of its standard error for a normal."""
    found = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.detach().double()
            found.append((weight.square().mean().item() / expected(module) - 1) / math.sqrt(2 / weight.numel()))
    return found


def fan_in(conv: nn.Conv2d) -> int:
    return conv.weight[0].numel()


@pytest.mark.parametrize("name", ["bit_resnet50x1", "bit_resnet26_cifar"])
def test_initial_weights_of_bit(name: str) -> None:
    """PyTorch's default, of variance 1 / (3 fan-in); norms the identity; the head zero."""
    torch.manual_seed(0)
    options = {"widths": (128, 128, 256, 256)} if name == "bit_resnet50x1" else {}
    network = convatlas.create(name, **options)
    assert max(map(abs, ratios(network, lambda conv: 1 / (3 * fan_in(conv))))) < 5
    for norm in (module for module in network.modules() if isinstance(module, nn.GroupNorm)):
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()
        assert norm.eps == 1e-5
    assert not any(parameter.any() for parameter in network.head.parameters())
    assert not network(torch.randn(2, 3, 32, 32)).any()


@pytest.mark.parametrize(("activation", "square"), [("relu", 2.0), ("tanh", 25 / 9)])
def test_initial_weights_of_preactivation_networks(activation: str, square: float) -> None:
    """Kaiming by fan-out, and a bias of zero, as in the authors' code."""
    torch.manual_seed(0)
    network = convatlas.create("preact_resnet50", widths=(128, 128, 256, 256), activation=activation)
    deviations = ratios(network, lambda conv: square / (conv.out_channels * conv.kernel_size[0] ** 2))
    assert max(map(abs, deviations)) < 5
    assert not network.head.fc.bias.any()
    assert network.head.fc.weight.std().item() == pytest.approx(1 / math.sqrt(3 * 256), rel=0.02)


def test_initial_weights_of_kuangliu() -> None:
    torch.manual_seed(0)
    network = convatlas.create("preact_resnet18_cifar")
    assert max(map(abs, ratios(network, lambda conv: 1 / (3 * fan_in(conv))))) < 5
    assert network.head.fc.bias.any()


# -------------------------------------------------------------------------------------------------- the building blocks


def test_filters_are_standardised_by_the_biased_variance() -> None:
    torch.manual_seed(0)
    conv = StandardizedConv2d(3, 4, 3, stride=2, padding=1, bias=False).double()
    images = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    values = conv.weight.detach().numpy()
    filters = np.stack([(f - f.mean()) / np.sqrt(f.var() + 1e-10) for f in values])
    expected = F.conv2d(images, torch.from_numpy(filters), stride=2, padding=1)
    assert torch.allclose(conv(images), expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        conv.weight.mul_(7).add_(3)
    assert torch.allclose(conv(images), expected, rtol=0, atol=1e-7)


def test_a_constant_filter_gives_zeros_and_finite_gradients() -> None:
    conv = StandardizedConv2d(8, 8, 3, bias=False)
    nn.init.ones_(conv.weight)
    output = conv(torch.randn(1, 8, 5, 5))
    assert not output.any()
    output.sum().backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.isfinite().all()


def test_the_pooling_sees_zeros_around() -> None:
    """Where all values are negative, those at the border become zero; in the other form they stay negative."""

    def pooled(name: str) -> Tensor:
        stem = convatlas.create(name).stem
        stem.conv = nn.Identity()
        return stem(-torch.rand(1, 64, 8, 8) - 0.1)

    zeros = pooled("bit_resnet50x1") == 0
    assert zeros[..., 0, :].all()
    assert zeros[..., :, 0].all()
    assert not zeros[..., 1:, 1:].any()
    assert (pooled("preact_resnet50") < 0).all()


def test_an_image_does_not_depend_on_its_batch_in_training() -> None:
    torch.manual_seed(0)
    network = convatlas.create("bit_resnet26_cifar").double().train()
    nn.init.normal_(network.head.fc.weight)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    assert torch.allclose(network(images)[:1], network(images[:1]), rtol=1e-10, atol=1e-12)
    assert torch.equal(network(images), network.eval()(images))


@pytest.mark.parametrize("name", ["bit_resnet50x1", "preact_resnet50"])
def test_where_the_shape_stays_the_first_unit_is_like_the_others(name: str) -> None:
    network = outline(name, stem_channels=128, widths=(128, 128, 256, 256))
    stage = network.get_submodule("stage1")
    first, second = ({key: t.shape for key, t in stage.get_submodule(n).state_dict().items()} for n in ("0", "1"))
    assert first == second


def test_contracts() -> None:
    thin: dict[str, Any] = {"widths": (32, 64, 64, 64), "depths": (1, 2, 1, 1), "num_classes": 10}
    for name in ("bit_resnet50x1", "preact_resnet50"):
        row = architecture(name)
        groups = {"stem_channels": 16, "groups": 8} if row.family == "bit" else {"stem_channels": 16}

        def build(*, row: Architecture = row, options: dict[str, Any] = groups) -> nn.Module:
            return row.build(**thin, **options)

        check_architecture(Architecture(f"thin_{name}", builder=build, image_size=64))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bit_resnet50x1", {"groups": 48}, "stem_channels=64 must be a multiple of groups=48"),
        ("bit_resnet50x1", {"widths": (64, 512, 1024, 2048)}, "multiples of 128, because a bottleneck"),
        ("bit_resnet50x1", {"groups": 0}, "groups=0 must be"),
        ("bit_resnet50x1", {"depths": (3, 4, 6)}, "one entry for each stage"),
        ("bit_resnet50x1", {"activation": "swish"}, "swish"),
        ("bit_resnet26_cifar", {"stem_channels": 12}, "stem_channels=12 must be a multiple"),
        ("bit_resnet26_cifar", {"depths": (2, 2, 2, 0)}, "whole numbers of at least 1"),
        ("preact_resnet50", {"widths": (254, 512, 1024, 2048)}, "must be multiples of 4"),
        ("preact_resnet50", {"widths": (256, 512)}, "one entry for each stage"),
        ("preact_resnet50", {"stem_channels": 0}, "stem_channels=0 must be"),
        ("preact_resnet18_cifar", {"depths": (2, 2)}, "one entry for each stage"),
        ("preact_resnet18_cifar", {"dropout": 0.3}, "dropout"),
    ],
)
def test_bad_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        outline(name, **options)


# ------------------------------------------------------------------------------------------------------ published files


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return published_arrays(DEPTHS, WIDTHS, stem=STEM, classes=CLASSES)


@pytest.fixture(scope="module")
def published(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bit") / "BiT-M-R50x1.npz"
    np.savez(path, **arrays)
    return path


def some_images() -> Tensor:
    """40 pixels become 20, 10, 5, 3 and 2."""
    return torch.randn(2, 3, 40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parity
def test_a_published_file_gives_the_logits_of_the_reference(arrays: dict[str, np.ndarray], published: Path) -> None:
    network = convatlas.load("bit_resnet50x1", published, **OPTIONS).double()
    expected = bit_logits(exact(arrays), some_images(), groups=GROUPS)
    assert network(some_images()).shape == (2, CLASSES)
    assert (expected[0] - expected[1]).abs().max() > 0.1
    assert torch.allclose(network(some_images()), expected, rtol=0, atol=1e-11)


@pytest.mark.parity
def test_checkpoints_of_the_released_code(arrays: dict[str, np.ndarray], published: Path, tmp_path: Path) -> None:
    """As its training writes them: in `DataParallel`, beside the step and the optimizer's state."""
    tensors = {key: tensor.float() for key, tensor in exact(arrays).items()}
    state = {f"module.{key}": tensor for key, tensor in released_names(tensors).items()}
    torch.save({"step": 3, "model": state, "optim": {"state": {}, "param_groups": []}}, tmp_path / "bit.pth.tar")
    network = convatlas.load("bit_resnet50x1", tmp_path / "bit.pth.tar", **OPTIONS)
    expected = convatlas.load("bit_resnet50x1", published, **OPTIONS).state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in network.state_dict().items())


def test_another_class_count_gets_a_head_of_zeros(published: Path) -> None:
    """As the released code begins to fine-tune."""
    whole = convatlas.load("bit_resnet50x1", published, **OPTIONS)
    with pytest.warns(UserWarning, match="head for 7 classes is replaced by an untrained one for 5"):
        network = convatlas.load("bit_resnet50x1", published, num_classes=5, **OPTIONS)
    assert not network(some_images().float()).any()
    kept = {key: tensor for key, tensor in network.state_dict().items() if not key.startswith("head.")}
    assert all(torch.equal(tensor, whole.state_dict()[key]) for key, tensor in kept.items())


@pytest.mark.slow
def test_the_network_is_known_by_its_file() -> None:
    """BiT-M-R50x1 with its own head, each tensor of one number only, so that it needs no memory."""
    shapes = published_shapes((3, 4, 6, 3), (256, 512, 1024, 2048), stem=64, classes=21_843)
    state = {}
    for key, shape in shapes.items():
        tensor = torch.zeros(()).expand(shape)
        kind = {"kernel": "weight", "gamma": "weight"}.get(key.rpartition("/")[2], "bias")
        renamed = f"{key.rpartition('/')[0].replace('/', '.')}.{kind}"
        state[renamed] = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
    identified = identify(checkpoint_of(state))
    assert (identified.architecture.name, identified.num_classes) == ("bit_resnet50x1", 21_843)


def written(path: Path, arrays: dict[str, Any], *, compressed: bool = False) -> Path:
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize("form", ["compressed", "numbered", "big endian", "float64", "renamed"])
def test_forms_of_published_files(arrays: dict[str, np.ndarray], published: Path, tmp_path: Path, form: str) -> None:
    """All hold the same network; TensorFlow's numbers of layers are left in some files' names."""
    path = tmp_path / "file.npz"
    if form == "numbered":
        names = {key: key.replace("a/proj/standardized_conv2d", "a/proj/standardized_conv2d_4") for key in arrays}
        written(path, {names[key]: array for key, array in arrays.items()})
    elif form == "renamed":
        path = tmp_path / "weights"
        path.write_bytes(published.read_bytes())
    else:
        kind = {"big endian": ">f4", "float64": "<f8"}.get(form, "<f4")
        written(path, {key: array.astype(kind) for key, array in arrays.items()}, compressed=form == "compressed")
    network = convatlas.load("bit_resnet50x1", path, **OPTIONS)
    expected = convatlas.load("bit_resnet50x1", published, **OPTIONS).state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in network.state_dict().items())


def test_names_and_axes(tmp_path: Path) -> None:
    kernel = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    content = {"a/conv/kernel": kernel, "a/norm/gamma": np.ones(1), "a/norm/beta": np.ones(1), "a.fc.weight": kernel}
    tensors = read_checkpoint(written(tmp_path / "x.npz", content))["state_dict"]
    assert list(tensors) == ["a.conv.weight", "a.norm.weight", "a.norm.bias", "a.fc.weight"]
    assert tensors["a.conv.weight"].shape == (5, 4, 2, 3)
    assert tensors["a.conv.weight"][4, 3, 1, 2] == kernel[1, 2, 3, 4]
    assert tensors["a.fc.weight"].shape == kernel.shape


def test_our_own_names_in_arrays(tmp_path: Path) -> None:
    network = convatlas.create("bit_resnet26_cifar")
    path = written(tmp_path / "own.npz", {key: tensor.numpy() for key, tensor in network.state_dict().items()})
    loaded = convatlas.load("bit_resnet26_cifar", path).state_dict()
    assert all(torch.equal(tensor, loaded[key]) for key, tensor in network.state_dict().items())


def test_a_file_on_the_command_line(published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (64, 64), "orange").save(tmp_path / "photo.png")
    options = ["-o", "depths=2,10,2,2", "-o", "widths=32,64,64,96", "-o", "stem_channels=16", "-o", "groups=8"]
    words = ["predict", str(published), str(tmp_path / "photo.png"), "--arch", "bit_resnet50x1", *options]
    assert main([*words, "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5", "--json"]) == 0
    assert '"class": "class 0"' in capsys.readouterr().out
    assert main(words) == 2
    assert "give it with --mean and --std" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------------- faults


def member(values: bytes, *, shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    """An array's file, whose header may say anything."""
    file = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
    return file.getvalue() + values


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One file for each thing that may be wrong."""
    folder = tmp_path_factory.mktemp("faulty")
    good = {"a/kernel": np.ones((1, 1, 8, 8), np.float32), "b/beta": np.ones(8, np.float32)}
    whole = written(folder / "whole.npz", good).read_bytes()
    (folder / "half.npz").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[whole.index(np.float32(1).tobytes() * 4)] ^= 255
    (folder / "flipped.npz").write_bytes(flipped)
    (folder / "text.npz").write_text("hello, world")
    (folder / "empty.npz").touch()
    with (folder / "array.npz").open("wb") as file:
        np.save(file, np.ones(3))
    torch.save({"a.weight": torch.ones(3)}, folder / "torch.npz")
    written(folder / "nothing.npz", {})
    written(folder / "pickled.npz", {"a/kernel": np.array([{"run": "code"}], dtype=object)})
    written(folder / "integers.npz", {**good, "step": np.ones(3, np.int64)})
    written(folder / "complex.npz", {**good, "c": np.ones(3, np.complex64)})
    written(folder / "words.npz", {**good, "c": np.array(["a"])})
    written(folder / "nan.npz", {**good, "c": np.array([float("nan")])})
    written(folder / "twice.npz", {"a/x/kernel": np.ones(3), "a/x/weight": np.ones(3)})
    written(folder / "strange.npz", good)
    with zipfile.ZipFile(folder / "double.npz", "w") as archive, warnings.catch_warnings(action="ignore"):
        for content in (b"1234", b"5678"):
            archive.writestr("a.npy", member(content, shape=(1,)))
    with zipfile.ZipFile(folder / "long.npz", "w") as archive:
        archive.writestr("a.npy", member(b"1234", shape=(10**6, 10**6)))
    with zipfile.ZipFile(folder / "bfloat16.npz", "w") as archive:
        archive.writestr("a.npy", member(b"12", shape=(1,), kind="|V2"))
    bomb = bytearray(written(folder / "bomb.npz", {"a": np.zeros(1000, np.float32)}, compressed=True).read_bytes())
    directory = bomb.rindex(b"PK\1\2")  # which says how large the array is unpacked: here 4 GiB
    bomb[directory + 24 : directory + 28] = (2**32 - 2).to_bytes(4, "little")
    (folder / "bomb.npz").write_bytes(bomb)
    return {path.name: path for path in folder.iterdir()}


FAULTS = [
    ("half.npz", "cut off or damaged"),
    ("flipped.npz", "cut off or damaged"),
    ("text.npz", "cut off or damaged"),
    ("empty.npz", "the file is empty"),
    ("double.npz", "it holds a.npy twice"),
    ("array.npz", "cut off or damaged"),
    ("torch.npz", "no checkpoint of arrays: it holds .*data.pkl"),
    ("nothing.npz", "holds no tensors"),
    ("pickled.npz", "it wants to load objects, which may run code"),
    ("integers.npz", r"left out, as they are no tensors of real numbers: state_dict\['step'\]"),
    ("complex.npz", r"left out, .*: state_dict\['c'\]"),
    ("words.npz", r"left out, .*: state_dict\['c'\]"),
    ("nan.npz", "the tensor c holds NaN or infinity"),
    ("twice.npz", "two arrays become a.x.weight"),
    ("strange.npz", "fits no architecture that we know; its keys are a.weight, b.bias"),
    ("long.npz", "cut off or damaged"),
    ("bfloat16.npz", "the array a is of void16"),
    ("bomb.npz", "asks for at least 4.0 GiB of memory"),
]


@pytest.mark.parametrize(("name", "message"), FAULTS, ids=[name for name, _ in FAULTS])
def test_faults_are_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    faulty: dict[str, Path],
    name: str,
    message: str,
) -> None:
    path = faulty[name]
    assert main(["evaluate", str(path), "--data", "digits"]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert re.search(message, captured.err), captured.err
    assert "Traceback" not in captured.err


def test_a_whole_file_is_read(faulty: dict[str, Path]) -> None:
    """What the faulty ones were made from."""
    state = read_checkpoint(faulty["whole.npz"])["state_dict"]
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == {"a.weight": (8, 8, 1, 1), "b.bias": (8,)}


# ------------------------------------------------------------------------------ pre-activation ResNet-18 of kuangliu's


def test_nothing_stands_between_the_last_sum_and_the_pooling() -> None:
    network = outline("preact_resnet18_cifar")
    assert [name for name, _ in network.named_children()] == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    assert [name for name, _ in network.get_submodule("head").named_children()] == ["pool", "flatten", "fc"]
