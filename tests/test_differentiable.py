"""Gradients through a network to the images that it answers, and the place of its input in the original image."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convatlas import create
from convatlas.architectures import architecture
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import BATCH_SIZE
from convatlas.errors import UsageError
from convatlas.layers import ConvNormAct, classifier, sequential
from convatlas.prediction import Predictor, open_predictor

SIZE = 8
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def predictor() -> Predictor:
    """A tiny network whose running statistics differ from those of a new one."""
    torch.manual_seed(0)
    network = sequential(stem=ConvNormAct(3, 4, 3), stage1=ConvNormAct(4, 6, 3, stride=2), head=classifier(6, 5))
    for _ in range(3):
        network(torch.rand(16, 3, SIZE, SIZE) + 1)
    return Predictor(
        source="tiny",
        path=Path("tiny.pt"),
        network=network.eval(),
        architecture=architecture("resnet_uva"),
        options={},
        num_classes=5,
        in_channels=3,
        preprocessing=Preprocessing(SIZE, MEAN, STD, shorter_side=10),
    )


def images_of(count: int, height: int = 12, width: int = 17) -> Tensor:
    """Noise, uint8 (count, 3, height, width)."""
    source = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, height, width), generator=source, dtype=torch.uint8)


def finite_difference(predictor: Predictor, images: Tensor, place: tuple[int, ...], step: float = 1e-5) -> float:
    """The slope of the logit 2 of the first image along one value of the images, from both sides."""
    logits = []
    for sign in (1, -1):
        moved = images.clone()
        moved[place] += sign * step
        logits.append(predictor.plain_network(predictor.inputs(moved))[0, 2].item())
    return (logits[0] - logits[1]) / (2 * step)


def test_gradients_of_images_are_finite_differences(predictor: Predictor) -> None:
    """Of a logit with respect to the original images, through resizing, cutting and normalisation, in float64."""
    double = dataclasses.replace(predictor, network=predictor.network.double())
    images = (images_of(2).double() / 255).requires_grad_()
    inputs = double.inputs(images)
    inputs.retain_grad()
    double.plain_network(inputs)[0, 2].backward()
    assert images.grad is not None
    assert inputs.grad is not None
    assert inputs.grad.dtype == images.grad.dtype == torch.float64
    with torch.no_grad():
        for place in ((0, 0, 5, 8), (0, 1, 3, 4), (0, 2, 9, 11), (0, 1, 6, 9)):
            slope = images.grad[place].item()
            assert abs(slope) > 1e-4
            assert finite_difference(double, images, place) == pytest.approx(slope, rel=1e-5)
    assert not images.grad[1].any()  # the other image has no part in it
    rectangle = double.rectangle(images)
    assert not images.grad[0, :, :, : int(rectangle.left) - 1].any()


def test_gradients_of_inputs_are_finite_differences(predictor: Predictor) -> None:
    network = predictor.plain_network.double()
    inputs = predictor.inputs(images_of(1)).detach().requires_grad_()
    assert inputs.dtype == torch.float64  # that of the network
    network(inputs)[0, 2].backward()
    assert inputs.grad is not None
    for place in ((0, 0, 0, 0), (0, 1, 4, 3), (0, 2, 7, 7)):
        moved = [inputs.detach().clone() for _ in range(2)]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        with torch.no_grad():
            above, below = (network(each)[0, 2].item() for each in moved)
        assert inputs.grad[place].item() == pytest.approx((above - below) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_plain_network_gives_the_logits_exactly(tmp_path: Path, precision: str) -> None:
    """Also where the predictor answers by a folded copy in bf16: the network for gradients stays as it was."""
    torch.manual_seed(0)
    path = tmp_path / "small.pt"
    network = create("resnet_uva", num_classes=7)
    network(torch.rand(16, 3, 32, 32) + 1)
    torch.save(network.state_dict(), path)
    predictor = open_predictor(path, arch="resnet_uva", normalisation=(MEAN, STD))
    images = images_of(BATCH_SIZE + 3, 40, 60)
    expected = predictor.to("cpu", precision="float32").logits(images)
    chosen = predictor.to("cpu", precision=precision)
    answered = chosen.logits(images)
    assert torch.equal(answered, expected) == (precision == "float32")
    with torch.no_grad():
        inputs = chosen.inputs(images)
        given = torch.cat([chosen.plain_network(part) for part in inputs.split(BATCH_SIZE)])
    assert torch.equal(given, expected)
    plain = chosen.plain_network
    assert not plain.training
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in plain.parameters())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in plain.modules())


def test_floats_are_the_same_images(predictor: Predictor) -> None:
    images = images_of(3)
    assert torch.equal(predictor.inputs(images), predictor.inputs(images.float() / 255))
    assert torch.equal(predictor.logits(images), predictor.logits(images.float() / 255))
    grey = images[:, :1]
    assert torch.equal(predictor.inputs(grey), predictor.inputs(grey.expand(-1, 3, -1, -1)))


def test_what_is_no_batch_of_images(predictor: Predictor) -> None:
    with pytest.raises(UsageError, match=r"shape \(N, C, H, W\) and 1 or 3 channels, not \(3, 9, 9\)"):
        predictor.inputs(torch.rand(3, 9, 9))
    with pytest.raises(UsageError, match=r"1 or 3 channels, not \(1, 4, 9, 9\)"):
        predictor.rectangle(torch.rand(1, 4, 9, 9))
    with pytest.raises(UsageError, match=r"uint8, or floats in \[0, 1\], not int64"):
        predictor.inputs(torch.zeros(1, 3, 9, 9, dtype=torch.int64))


SHAPES = {
    "square": (64, 64),
    "square of its size": (32, 32),
    "landscape": (64, 96),
    "portrait": (96, 64),
    "odd landscape": (67, 101),
    "smaller": (20, 27),
    "panorama": (48, 200),
    "upright panorama": (203, 49),
    "just a panorama": (40, 81),
    "just none": (40, 80),
    "strip": (3, 400),
}


@pytest.mark.parametrize("shorter_side", [None, 32, 36, 40])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_rectangle_is_the_part_that_is_seen(shape: tuple[int, int], shorter_side: int | None) -> None:
    """Each pixel of the image says where it lies; those of the input must lie evenly over the rectangle."""
    height, width = shape
    rows = (torch.arange(height, dtype=torch.float64) + 0.5).view(-1, 1).expand(height, width)
    columns = (torch.arange(width, dtype=torch.float64) + 0.5).expand(height, width)
    images = torch.stack([rows / height, columns / width])[None]  # of floats in [0, 1]
    preprocessing = Preprocessing(32, (0.0, 0.0), (1.0, 1.0), shorter_side=shorter_side)
    seen = preprocessing.resize(images)[0] * torch.tensor([height, width]).view(2, 1, 1)
    assert seen.shape == (2, 32, 32)
    found = preprocessing.rectangle(height, width)
    middle = slice(8, 24)  # at the edges of the image, antialiasing has pixels on one side only
    for places, start, length in ((seen[0, :, 16], found.top, found.height), (seen[1, 16], found.left, found.width)):
        expected = start + (torch.arange(32, dtype=torch.float64) + 0.5) * length / 32
        errors = (places - expected)[middle]  # a tenth of a pixel at most: the kernel's samples lie unevenly
        assert errors.abs().max() < 0.1
        assert abs(errors.mean()) < 0.02
        assert start >= 0
        assert length <= 2 * min(shape)
    assert found.top + found.height <= height + 1e-9
    assert found.left + found.width <= width + 1e-9


def test_the_rectangle_of_known_images() -> None:
    """Counted by hand: of 64 x 96 pixels at 36 the central 32 are 32 / 36 of the shorter side."""
    preprocessing = Preprocessing(32, (0.0,), (1.0,), shorter_side=36)
    found = preprocessing.rectangle(64, 96)
    assert (found.height, found.width) == (pytest.approx(64 * 32 / 36), pytest.approx(96 * 32 / 54))
    assert (found.top, found.left) == (pytest.approx(64 * 2 / 36), pytest.approx(96 * 11 / 54))
    strip = Preprocessing(32, (0.0,), (1.0,)).rectangle(10, 1001)  # 32 x 3203 pixels, of which 1586 lie on the left
    assert (strip.top, strip.height) == (0, 10)
    assert (strip.left, strip.width) == (pytest.approx(1001 * 1586 / 3203), pytest.approx(1001 * 32 / 3203))
    longest = Preprocessing(32, (0.0,), (1.0,)).rectangle(10, 1_000_001)  # of which only the middle is resized
    assert (longest.top, longest.left, longest.height, longest.width) == (0, 499_995, 10, 10)
