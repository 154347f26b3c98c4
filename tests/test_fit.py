"""`--fit`: how an image of another shape becomes square, the same in training, evaluation and prediction."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.data import preprocessing as module
from convatlas.data.images.image_files import read_image
from convatlas.data.images.stores import FileStore
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.preprocessing import Preprocessing
from convatlas.prediction.views import views_of
from convatlas.recipe import Fit, Recipe, recipe
from convatlas.run import read_run_record
from convatlas.weights import preprocessing_said
from test_folder import TINY, flat
from test_streaming import photograph

SIZE, MEAN, STD = 32, (0.5, 0.25, 0.125), (0.25,) * 3
FITS: tuple[Fit, ...] = get_args(Fit)
BORDER = torch.tensor([128.0, 64.0, 32.0])  # the levels of the mean


def prepared(fit: Fit, **changes: object) -> Preprocessing:
    return dataclasses.replace(Preprocessing(SIZE, MEAN, STD, fit=fit), **changes)  # type: ignore[arg-type]


def of_files(folder: Path, *names: str) -> StreamedImages:
    return StreamedImages(FileStore(folder, names), torch.arange(len(names)), torch.arange(len(names)))


@pytest.fixture(scope="module")
def long_picture(tmp_path_factory: pytest.TempPathFactory) -> StreamedImages:
    """A picture of 120 x 640 pixels, blue, whose subject, a red square, lies at its right end; and it upright."""
    folder = tmp_path_factory.mktemp("images")
    pixels = np.zeros((120, 640, 3), np.uint8)
    pixels[...] = (0, 0, 200)
    pixels[30:90, 570:630] = (255, 0, 0)
    Image.fromarray(pixels).save(folder / "lying.png")
    Image.fromarray(np.rot90(pixels).copy()).save(folder / "standing.png")
    Image.fromarray(pixels).save(folder / "lying.jpg", quality=95)
    return of_files(folder, "lying.png", "standing.png", "lying.jpg")


def levels(images: Tensor) -> Tensor:
    return (images * 255).round()


def evaluated(images: StreamedImages, preprocessing: Preprocessing) -> Tensor:
    return levels(images.batch(torch.arange(len(images)), preprocessing=preprocessing))


def trained(images: StreamedImages, preprocessing: Preprocessing, chosen: Recipe, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    read = images.training_batches(
        torch.arange(len(images)), recipe=chosen, preprocessing=preprocessing, generator=generator
    )
    return levels(next(read)[0])


def red(images: Tensor) -> list[bool]:
    """Whether each image shows the subject."""
    return ((images[:, 0] > 200) & (images[:, 2] < 60)).flatten(1).any(1).tolist()


@pytest.mark.parametrize("fit", FITS)
def test_squash_and_pad_keep_a_subject_at_the_end(long_picture: StreamedImages, fit: Fit) -> None:
    found = evaluated(long_picture, prepared(fit))
    assert red(found) == [fit != "crop"] * 3
    border = (found == BORDER.view(1, 3, 1, 1)).all(1)
    if fit == "pad":  # 32 x 6 of the square's pixels are the picture's
        rows = torch.tensor([not 13 <= row < 19 for row in range(SIZE)])
        assert torch.equal(border[0].all(1), rows)
        assert torch.equal(border[1].all(0), rows)
    else:
        assert not border.any()


@pytest.mark.parametrize("fit", FITS)
def test_a_map_over_the_input_lies_over_the_image(long_picture: StreamedImages, fit: Fit) -> None:
    """A rectangle says where in the picture the middle of the subject is."""
    stage = prepared(fit)
    rectangle = stage.rectangle(120, 640)
    if fit == "crop":
        assert dataclasses.astuple(rectangle) == pytest.approx((0.0, 260.0, 120.0, 120.0), abs=0.5)
        return
    seen = evaluated(long_picture, stage)[0]
    rows, columns = (seen[0] > 200).nonzero().double().mean(0) + 0.5
    top = rectangle.top + float(rows) / SIZE * rectangle.height
    left = rectangle.left + float(columns) / SIZE * rectangle.width
    assert (top, left) == (pytest.approx(60, abs=1), pytest.approx(600, abs=10))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("interpolation", "size"),
    [
        *(("bilinear", size) for size in ((40, 40), (60, 47), (47, 300), (20, 31), (32, 32), (1, 90), (200, 3))),
        *(("bicubic", size) for size in ((40, 40), (60, 47), (47, 300), (20, 31))),
    ],
)
def test_all_verbs_see_what_preprocessing_does(
    tmp_path: Path, fit: Fit, size: tuple[int, int], interpolation: str
) -> None:
    """To the rounding, as of the crop; the border has no rounding. All verbs see the same to the bit."""
    photograph(*size).save(tmp_path / "a.png")
    images = of_files(tmp_path, "a.png")
    stage = prepared(fit, interpolation=interpolation)
    expected = stage.resize(read_image(tmp_path / "a.png", channels=3)) * 255
    found = evaluated(images, stage)
    assert found.shape == expected.shape == (1, 3, SIZE, SIZE)
    assert (found - expected).abs().max() <= (1.05 if interpolation == "bilinear" else 3.7)
    plain = recipe("quick").replaced(crop="none", flip=0.0, batch_size=8, fit=fit)
    assert torch.equal(trained(images, stage, plain), found)
    assert torch.equal(views_of(tmp_path / "a.png", stage, averaging="none"), found.to(torch.uint8))  # of `predict`


@pytest.mark.parametrize("fit", ["squash", "pad"])
@pytest.mark.parametrize("size", [(300, 400), (90, 700), (3, 700), (513, 260)])
def test_a_reduced_jpeg_is_fitted_alike(
    tmp_path: Path, fit: Fit, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ramp = np.add.outer(np.linspace(0, 120, size[0]), np.linspace(0, 120, size[1])).astype(np.uint8)
    Image.fromarray(np.dstack([ramp, 255 - ramp, ramp])).save(tmp_path / "a.jpg", quality=95)
    images = of_files(tmp_path, "a.jpg")
    found = evaluated(images, prepared(fit))
    monkeypatch.setattr("convatlas.data.images.decoding.REDUCTIONS", ())
    assert (found - evaluated(images, prepared(fit))).abs().max() <= 4


def test_a_random_crop_comes_from_the_whole_image(long_picture: StreamedImages) -> None:
    """Also of ends that the crop of evaluation never shows, and without a border."""
    cut = recipe("quick").replaced(
        crop="resized", crop_scale=(0.05, 0.1), crop_ratio=(0.9, 1.1), flip=0.0, batch_size=8, fit="pad"
    )
    seen = [trained(long_picture, prepared("pad"), cut, seed=seed) for seed in range(12)]
    assert any(red(torch.cat(seen)))
    assert not (torch.cat(seen) == BORDER.view(1, 3, 1, 1)).all(1).any()


def test_the_shorter_side_belongs_to_the_crop() -> None:
    images = torch.rand(2, 3, 50, 80)
    for fit in ("squash", "pad"):
        assert torch.equal(prepared(fit).resize(images), prepared(fit, shorter_side=40).resize(images))
    assert not torch.equal(prepared("crop").resize(images), prepared("crop", shorter_side=40).resize(images))


@pytest.mark.parametrize("fit", FITS)
def test_a_large_or_grey_picture_is_fitted_alike(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    for channels in (1, 3):
        images = torch.randint(0, 256, (2, channels, 20, 61), dtype=torch.uint8, generator=generator)
        whole = prepared(fit).resize(images)
        with monkeypatch.context() as patched:
            patched.setattr(module, "LARGE", 1)
            assert torch.equal(prepared(fit).resize(images), whole)
    assert torch.equal(whole[:, 1], prepared(fit).resize(images)[:, 1])
    grey = prepared("pad").resize(torch.zeros(1, 1, 8, 16, dtype=torch.uint8))
    assert grey[0, :, 0, 0].tolist() == pytest.approx([round(sum(MEAN) / 3 * 255) / 255] * 3)


def test_normalisation_does_not_depend_on_the_memory_layout() -> None:
    images = torch.rand(3, 3, 20, 31)
    for values in (images, images.double(), images[:, :, :1, :1], images[:1]):
        plain = prepared("crop").normalize(values)
        last = prepared("crop").normalize(values.contiguous(memory_format=torch.channels_last))
        assert torch.equal(last, plain)
        assert last.dtype == plain.dtype
        assert last.is_contiguous(memory_format=torch.channels_last)
    last = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    prepared("crop").normalize(last).sum().backward()  # type: ignore[no-untyped-call]
    assert last.grad is not None
    assert bool((last.grad == 1 / torch.tensor(STD).view(1, 3, 1, 1)).all())


def test_gradients_flow_through_a_border() -> None:
    images = torch.rand(1, 3, 10, 40, requires_grad=True)
    prepared("pad").resize(images).sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert bool((images.grad > 0).all())


# -------------------------------------------------------------------------------------------------- recorded, and asked


def test_the_fit_is_recorded_and_read_again(tmp_path: Path) -> None:
    from convatlas.data import load_data
    from convatlas.training import make_plan

    data = load_data(f"folder:{flat(tmp_path / 'photos')}")
    chosen = recipe("quick").replaced(image_size=16, fit="squash", crop="none")
    plan = make_plan(architecture("resnet_uva"), data=data, chosen=chosen, seed=0, options=TINY)
    assert "fit=squash" in plan.recipe.name
    content = plan.record().content()
    assert (content["preprocessing"]["fit"], content["recipe"]["fit"]) == ("squash", "squash")
    record = read_run_record(content, label="run.json")
    assert preprocessing_said(record.preprocessing, label="run.json") == plan.preprocessing
    del content["preprocessing"]["fit"], content["recipe"]["fit"]
    older = read_run_record(content, label="run.json")
    assert older.preprocessing.fit == "crop"
    assert older.identity()["recipe"]["fit"] == "crop"
    content["preprocessing"]["fit"] = "stretch"
    with pytest.raises(ValueError, match="'stretch' is none of crop, squash, pad"):
        read_run_record(content, label="run.json")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fit", "stretch"], "unknown fit 'stretch'"),
        (["--fit", "pad", "--set", "fit=crop"], "fit is given twice, by its flag and by --set"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "compare"])
def test_a_wrong_fit_is_refused(capsys: pytest.CaptureFixture[str], verb: str, words: list[str], message: str) -> None:
    assert main([verb, "resnet_uva", *words]) == 2
    assert message in capsys.readouterr().err
