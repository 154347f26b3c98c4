"""What a network sees: drawn fields, theoretical and effective."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from PIL import Image
from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.errors import UsageError
from convatlas.insight.field import SeenField, draw_fields, fields_seen


def chain(num_classes: int = 10) -> nn.Module:
    stages = [nn.Conv2d(3 if index == 0 else 4, 4, 3, padding=1) for index in range(4)]
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))


def test_fields_of_a_chain_grow_by_two_and_the_gradient_stays_inside() -> None:
    fields = fields_seen(Architecture("chain", builder=chain))
    assert [field.size for field in fields] == [(3, 3), (5, 5), (7, 7), (9, 9)]
    for field in fields:
        rows, columns = (slice(first, last + 1) for first, last in (field.rows, field.columns))
        outside = field.gradient.copy()
        outside[rows, columns] = 0
        assert outside.max() == 0
        assert field.gradient.max() == 1
        assert (field.gradient[rows, columns] > 0).all()  # every pixel inside has an effect
        assert field.rows[0] + field.rows[1] == 32  # the middle value is the one after the middle
        assert field.effective_size <= field.size[0]
    assert fields[-1].effective_size < 9


@pytest.mark.parametrize("name", ["resnet_uva", "densenet_uva", "googlenet_uva"])
def test_the_effective_field_is_smaller_and_within(name: str) -> None:
    fields = fields_seen(architecture(name))
    for field in fields:
        (top, bottom), (left, right) = field.rows, field.columns
        inside = np.zeros_like(field.gradient, dtype=bool)
        inside[max(top, 0) : bottom + 1, max(left, 0) : right + 1] = True
        assert field.gradient[~inside].sum() == 0
    inner = [field for field in fields if 8 < field.size[0] < 32]
    assert inner
    assert all(field.effective_size < field.size[0] for field in inner)


def test_the_same_seed_sees_the_same_and_the_random_state_stays() -> None:
    torch.manual_seed(5)
    first = fields_seen(architecture("lenet_cifar"), seed=1)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == after
    again, other = (fields_seen(architecture("lenet_cifar"), seed=seed) for seed in (1, 2))
    assert np.array_equal(first[0].gradient, again[0].gradient)
    assert not np.array_equal(first[0].gradient, other[0].gradient)


def test_effective_size_by_hand() -> None:
    gradient = np.zeros((8, 8))
    gradient[2:5, 2:5] = 0.05
    gradient[3, 3] = 1
    gradient[7, 7] = 0.04
    assert SeenField("a", (0, 7), (0, 7), gradient).effective_size == 3


def test_the_picture(tmp_path: Path) -> None:
    path, photo = tmp_path / "field.png", tmp_path / "photo.jpg"
    fields = fields_seen(architecture("lenet5_textbook"))
    draw_fields(fields, path, name="lenet5_textbook")
    sample = imread(path)
    Image.new("RGB", (40, 60), "red").save(photo)
    draw_fields(fields, path, name="lenet5_textbook", photo=photo)
    own = imread(path)
    assert sample.shape == own.shape
    assert not np.array_equal(sample, own)
    assert ((own[..., 0] > 0.9) & (own[..., 1] < 0.4)).any()  # the red photograph is seen where it is lit
    orange = np.abs(own[..., :3] - np.array([0xE6, 0x9F, 0]) / 255).max(-1) < 0.02
    assert orange.sum() > 200  # and the frames


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "f.png"
    assert main(["show", "resnet_uva", "--receptive-field", str(path), "-o", "depths=1,1,1"]) == 0
    out = capsys.readouterr().out
    assert "stage1: 7 pixels" in out
    assert str(path) in out
    assert imread(path).shape[-1] == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resnet_uva", "--receptive-field", "f.svg"], ".png"),
        (["resnet_uva", "--receptive-field", "f.png", "--image", "nothing.jpg"], "nothing.jpg"),
        (["resnet_uva", "--image", "photo.jpg"], "--receptive-field"),
        (["resnet_uva", "lenet5", "--receptive-field", "f.png"], "one architecture"),
        (["vgg16", "--receptive-field", "f.png", "--image-size", "8"], "smallest that it takes"),
    ],
)
def test_bad_words(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show", *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


class Listed(nn.Module):
    """Layers in a list, a change of the input in place, and a part through which no gradient goes."""

    def __init__(self, num_classes: int = 10, *, blocked: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
        self.fc = nn.Linear(3, num_classes)
        self.blocked = blocked

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images -= 0.5
        features = images.detach() if self.blocked else images
        for layer in self.layers:
            features = layer(features)
        classes: torch.Tensor = self.fc(features.mean((2, 3)))
        return classes


def test_layers_in_a_list_have_fields() -> None:
    fields = fields_seen(Architecture("listed", builder=Listed))
    assert [(field.stage, field.size) for field in fields] == [("layers.0", (3, 3)), ("layers.1", (5, 5))]
    blocked = Architecture("blocked", builder=lambda num_classes=10: Listed(num_classes, blocked=True))
    with pytest.raises(UsageError, match="no gradient reaches the image through blocked"):
        fields_seen(blocked)


def test_a_network_without_maps_has_no_field() -> None:
    row = Architecture("flat", builder=lambda num_classes=10: nn.Sequential(nn.Flatten(), nn.Linear(3072, num_classes)))
    with pytest.raises(UsageError, match="flat has no stage with rows and columns whose field is known"):
        fields_seen(row)
