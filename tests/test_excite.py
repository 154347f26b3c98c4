"""Pictures that excite a class or a channel: the parametrisation by hand, the rise, and the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import convatlas
from convatlas.cli import main
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.insight.explain.excite import RAISED, Ascent, Excited, Target, excite
from convatlas.insight.explain.features import before_last_layer
from convatlas.insight.explain.methods import METHODS, Question
from convatlas.insight.explain.spectrum import IMAGENET, POWER, Palette, moved, picture_of
from convatlas.layers import folded

pytest.importorskip("captum")
SIZE = 16
GREY = Preprocessing(SIZE, mean=(0.5,), std=(0.25,))
PLAIN = Palette(torch.eye(1), "grey")


def stripes() -> nn.Sequential:
    """A network whose logit 0 answers to upright stripes of four pixels, and logit 1 to lying ones."""
    wave = torch.tensor([1.0, 1.0, -1.0, -1.0]).expand(4, 4) / 16
    network = nn.Sequential(nn.Conv2d(1, 2, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network[0].weight.data = torch.stack([wave, wave.T])[:, None].clone()
    nn.init.zeros_(network[0].bias)  # type: ignore[arg-type]
    return network.eval().requires_grad_(False)


def real_images() -> Tensor:
    """Smooth random images, normalised: (N, 1, size, size)."""
    coarse = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return GREY.normalize(nn.functional.interpolate(coarse, size=SIZE, mode="bilinear"))


@pytest.fixture(scope="module")
def found() -> list[Excited]:
    """The pictures of both classes and of both channels."""
    targets = [Target("upright", 0), Target("lying", 1), Target("a", 0, "0"), Target("b", 1, "1")]
    return excite(Ascent(stripes(), GREY, PLAIN, steps=64), targets, real=real_images().split(48))


def test_the_value_rises_above_the_start_and_above_real_images(found: list[Excited]) -> None:
    network, real = stripes(), real_images()
    for each, logit in ((found[0], 0), (found[1], 1)):
        assert each.real == pytest.approx(network(real)[:, logit].max().item())
        assert each.end == pytest.approx(network(GREY.normalize(each.picture[None]))[0, logit].item(), rel=1e-4)
        assert each.times is not None
        assert each.times > RAISED
        assert each.end > 100 * each.start
    assert found[3].end == pytest.approx(found[1].end, rel=0.2)  # the channel behind the logit
    assert found[2].real == pytest.approx(network[0](real)[:, 0].mean((1, 2)).max().item())


def test_the_picture_shows_what_the_network_looks_for(found: list[Excited]) -> None:
    """Upright stripes differ along the rows, and lying ones along the columns."""
    for each, along in ((found[0], 2), (found[1], 1)):
        across = 3 - along
        assert each.picture.diff(dim=along).abs().mean() > 1.8 * each.picture.diff(dim=across).abs().mean()
    assert all(each.picture.min() >= 0 and each.picture.max() <= 1 for each in found)


def test_a_picture_depends_on_the_seed_alone(found: list[Excited]) -> None:
    network = stripes()
    (alone,) = excite(Ascent(network, GREY, PLAIN, steps=64), [Target("lying", 1)])
    assert torch.allclose(alone.picture, found[1].picture, atol=1e-4)
    assert alone.real is alone.times is None
    (other,) = excite(Ascent(network, GREY, PLAIN, steps=64, seed=1), [Target("lying", 1)])
    assert not torch.allclose(other.picture, found[1].picture, atol=0.05)


def test_a_channel_that_is_silent_at_the_start_is_woken() -> None:
    network = stripes()
    network[0].bias.data.fill_(-0.5)  # type: ignore[union-attr]
    (each,) = excite(Ascent(network, GREY, PLAIN, steps=64), [Target("a", 0, "1")])
    assert each.start == 0
    assert each.end > 0


def test_a_network_that_diverged_is_refused() -> None:
    network = stripes()
    network[0].bias.data.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="upright has no finite value; the network has diverged"):
        excite(Ascent(network, GREY, PLAIN, steps=2), [Target("upright", 0)])


def test_a_spectrum_is_the_picture_of_its_frequencies() -> None:
    spectrum = torch.zeros(1, 1, 8, 5, 2)
    assert torch.equal(picture_of(spectrum, PLAIN), torch.full((1, 1, 8, 8), 0.5))
    spectrum[0, 0, 0, 2, 0] = 0.3  # two waves along a row
    wave = torch.cos(2 * math.pi * 2 * torch.arange(8) / 8)
    height = 2 * 0.3 * (8 ** (2 - POWER) / (2 / 8) ** POWER) / 64 / 4  # twice: a real wave has two frequencies
    expected = (height * wave).sigmoid().expand(8, 8)
    assert torch.allclose(picture_of(spectrum, PLAIN)[0, 0], expected, atol=1e-6)


def test_a_palette_has_the_covariance_of_the_colours() -> None:
    mixing = torch.tensor(IMAGENET)
    pixels = torch.einsum("ij,njhw->nihw", mixing, torch.randn(50, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    palette = Palette.of_pixels(pixels, "mine")
    expected = pixels.transpose(0, 1).flatten(1).cov()
    own = palette.root @ palette.root.T
    assert torch.allclose(own / own.trace(), expected / expected.trace(), atol=1e-5)
    assert float(palette.root.norm(dim=0).max()) == pytest.approx(1)
    assert bool((palette.root[:, 0] > 0).all())  # the first is brightness
    assert torch.equal(Palette.of_pixels(torch.rand(4, 1, 8, 8), "grey").root, torch.ones(1, 1))


def test_images_move_alike_and_a_little() -> None:
    images = torch.zeros(2, 1, 33, 33)
    images[..., 15:18, 15:18] = 1
    places = []
    for seed in range(40):
        first, second = moved(images, torch.Generator().manual_seed(seed))
        assert torch.equal(first, second)
        total = first.sum().item()
        assert 9 * 0.9**2 * 0.9 < total < 9 * 1.1**2 * 1.1
        rows, columns = torch.meshgrid(torch.arange(33.0), torch.arange(33.0), indexing="ij")
        places.append(((first[0] * rows).sum().item() / total, (first[0] * columns).sum().item() / total))
    shifts = np.array(places) - 16
    assert np.abs(shifts).max() < 33 / 11 * 1.1 * 1.3  # scaled and turned beside the shift
    assert shifts.min() < -1.5
    assert shifts.max() > 1.5


SMALL = {  # batch norm, group norm with standardised weights, depthwise layers, a user's own network
    "resnet_uva": {"depths": (1, 1, 1), "widths": (8, 8, 8)},
    "bit_resnet26_cifar": {"depths": (1, 1, 1, 1), "widths": (32, 32, 32, 32), "stem_channels": 16},
    "mobilenet_v2_cifar": {"width": 0.25},
    f"{Path(__file__).parent.parent}/examples/my_network.py:my_network": {"widths": (8, 8, 8)},
}


@pytest.mark.parametrize("name", SMALL)
def test_kinds_of_networks(name: str) -> None:
    """Pictures, features and maps are those of the network whose norms are folded into its convolutions."""
    torch.manual_seed(0)
    network = convatlas.create(name, **SMALL[name])
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 32, 32))  # so that a norm's statistics are not the identity
    network.eval().requires_grad_(False)
    preprocessing = Preprocessing(32, mean=(0.5,) * 3, std=(0.25,) * 3)
    palette = Palette.of(torch.tensor(IMAGENET), "ImageNet")
    kinds = (network, folded(network).eval().requires_grad_(False))
    stage = [child for child, _ in network.named_children()][1]
    targets = [Target("class", 1), Target("channel", 3, stage)]
    pairs = [excite(Ascent(each, preprocessing, palette, steps=24), targets) for each in kinds]
    assert pairs[0][1].end > 2 * pairs[0][1].start  # logits of untrained networks hardly move
    for plain, fold in zip(*pairs, strict=True):
        assert plain.end == pytest.approx(fold.end, rel=0.02, abs=1e-3)
    inputs = torch.randn(2, 3, 32, 32)
    assert torch.allclose(*(before_last_layer(each, inputs) for each in kinds), atol=1e-4)
    maps = [METHODS["grad_cam"].attribute(Question(each, inputs[:1], 1, stage)).values for each in kinds]
    assert torch.allclose(*maps, atol=1e-4)


def lenet(folder: Path) -> list[str]:
    """The words that name a checkpoint of LeNet-5 for grey images."""
    torch.manual_seed(0)
    torch.save(convatlas.create("lenet5").state_dict(), folder / "lenet5.pt")
    return ["explain", str(folder / "lenet5.pt"), "--arch", "lenet5", "--mean", "0.3", "--std", "0.4"]


def test_the_command_without_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*lenet(tmp_path), "--excite", "3", "--excite", "stage2:0", "--steps", "2"]
    assert main([*words, "--out", str(tmp_path / "out"), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [each["title"] for each in content["excited"]["pictures"]] == ["class 3", "stage2, channel 0"]
    assert content["excited"]["colours"] == "grey"
    assert content["images"] == content["methods"] == []
    assert all((tmp_path / "out" / each["file"]).is_file() for each in content["excited"]["pictures"])
    page = (tmp_path / "out" / "explain.html").read_text(encoding="utf-8")
    assert "in 2 steps" in page
    assert "How to read the maps" not in page


def test_real_images_stand_beside_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (32, 32), 200).save(tmp_path / "grey.png")
    words = [*lenet(tmp_path), str(tmp_path / "grey.png"), "--method", "grad_cam", "--excite", "3", "--steps", "2"]
    assert main([*words, "--out", str(tmp_path / "out"), "--data", "digits"]) == 0
    said = capsys.readouterr().out
    assert "excited: class 3: from " in said
    assert "; real images reach " in said


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--excite", "12"], "names no classes: give a number from 0 to 9"),
        (["--excite", "stage9:1"], "unknown stage 'stage9'; did you mean stage"),
        (["--excite", "stage1:999"], "unknown channel '999' of stage1: give a number from 0 to "),
        (["--excite", "stage1:x"], "unknown channel 'x' of stage1: give a number from 0 to "),
        ([], "explain needs images: name image files, folders or patterns after"),
        (["--excite", "3", "--sanity"], "--sanity needs images"),
        (["--excite", "3", "--neighbours", "2", "--data", "digits"], "--neighbours needs images"),
        (["--embedding"], "does not say which data set its network is for; name one with --data"),
        (["--embedding", "--data", "digit"], "did you mean digits?"),
        (["--excite", "3", "--steps", "0"], "--steps"),
    ],
)
def test_bad_words(words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*lenet(tmp_path), *words, "--out", str(tmp_path / "out")]) == 2
    assert line in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
