"""`predict`: image files through Pillow, the one path to logits, and names with probabilities."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convatlas import create
from convatlas.cli import main
from convatlas.data import load_data
from convatlas.data.preprocessing import Preprocessing
from convatlas.data_names import CIFAR10_CLASSES
from convatlas.errors import UsageError
from convatlas.prediction import answers, check_averaging, images, open_predictor, read_image, views

FOLDER = os.environ.get("CONVATLAS_TEST_DATA")
needs_data = pytest.mark.skipif(FOLDER is None, reason="CONVATLAS_TEST_DATA names no folder")
NORMALISATION = ["--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def noise(height: int, width: int, *, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A uint8 image (height, width, channels) without any symmetry."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small untrained network in a file that names neither network nor classes."""
    torch.manual_seed(0)
    path = tmp_path / "small.pt"
    torch.save(create("resnet_uva", num_classes=7).state_dict(), path)
    return path


@needs_data
def test_image_files_get_the_answers_of_the_data_set(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The first test images as PNG files give exactly the probabilities that the arrays give."""
    assert FOLDER
    source = Path(FOLDER) / "reference/uva-tutorial5/ResNet.ckpt"
    test = load_data("cifar10", folder=Path(FOLDER) / "data/cifar10-lossless-part").test
    paths = []
    for index in range(8):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(test.pixels[index].permute(1, 2, 0).numpy()).save(paths[-1])
    code, out, err = run(capsys, "predict", source, *paths, "--json")
    assert code == 0, err
    content = [json.loads(line) for line in out.splitlines()]
    expected = open_predictor(source).to("cpu").logits(test.pixels[:8]).double().softmax(1)
    right = 0
    for index, given in enumerate(content):
        assert given["image"] == str(paths[index])
        assert len(given["predictions"]) == 5
        probabilities, order = expected[index].topk(5)
        assert [p["class"] for p in given["predictions"]] == [CIFAR10_CLASSES[label] for label in order]
        assert [p["probability"] for p in given["predictions"]] == pytest.approx(probabilities.tolist(), abs=1e-5)
        right += given["predictions"][0]["class"] == CIFAR10_CLASSES[test.labels[index]]
    assert right >= 7
    code, out, _ = run(capsys, "predict", source, paths[0], paths[1], "--top", "2")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()].count("cat") == 1
    *answers, arithmetic = out.splitlines()
    assert len(answers) == 2 * 3
    assert arithmetic == "computed in float32 on cpu"
    assert " %" in out


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_a_run_answers_with_its_own_classes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Grey networks see grey images, also of a coloured file."""
    words = ["--epochs", "1", "--batch-size", "256", "--set", "image_size=8", "-o", "depths=1,1", "-o", "widths=8,16"]
    assert run(capsys, "train", "resnet_uva", *words, "--quiet", "--out", tmp_path / "run")[0] == 0
    Image.fromarray(noise(20, 30)).save(tmp_path / "colour.png")
    code, out, _ = run(capsys, "predict", tmp_path / "run", tmp_path / "colour.png", "--top", "99", "--json")
    assert code == 0
    predictions = json.loads(out)["predictions"]
    assert {p["class"] for p in predictions} == set("0123456789")
    assert sum(p["probability"] for p in predictions) == pytest.approx(1)
    assert predictions == sorted(predictions, key=lambda p: -p["probability"])


def test_classes_without_a_name(capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Path) -> None:
    Image.fromarray(noise(32, 32)).save(tmp_path / "a.png")
    words = ["predict", checkpoint, tmp_path / "a.png", "--arch", "resnet_uva", *NORMALISATION]
    code, out, _ = run(capsys, *words, "--json")
    assert code == 0
    names = [p["class"] for p in json.loads(out)["predictions"]]
    assert len(names) == 5
    assert set(names) <= {f"class {index}" for index in range(7)}


def test_the_centre_square_upright(tmp_path: Path) -> None:
    pixels = noise(5, 9)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    image = read_image(tmp_path / "wide.png", channels=3)
    assert image.dtype == torch.uint8
    assert np.array_equal(image[0].permute(1, 2, 0).numpy(), pixels)
    seen = Preprocessing(5, (0.0,) * 3, (1.0,) * 3)(image)  # of 5 x 9 pixels the middle five columns
    assert np.array_equal((255 * seen[0].permute(1, 2, 0)).round().numpy(), pixels[:, 2:7])
    turned = Image.fromarray(np.rot90(pixels).copy())  # as a camera held upright stores it, with a note how to turn it
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "turned.png", channels=3).numpy(), image.numpy())


def test_transparency_is_white_and_grey_is_grey(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0, :, 3] = 255
    pixels[1, :, 0] = 200  # invisible
    Image.fromarray(pixels).save(tmp_path / "rgba.png")
    assert read_image(tmp_path / "rgba.png", channels=3)[0, :, :, 0].tolist() == [[0, 255]] * 3
    assert read_image(tmp_path / "rgba.png", channels=1)[0, 0].tolist() == [[0, 0], [255, 255]]
    palette = Image.fromarray(noise(4, 4)).quantize(8)
    palette.save(tmp_path / "palette.gif")
    assert np.array_equal(
        read_image(tmp_path / "palette.gif", channels=3)[0].permute(1, 2, 0).numpy(), np.asarray(palette.convert("RGB"))
    )
    deep = np.array([[0, 257], [65535, 25700]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    for channels in (1, 3):
        assert read_image(tmp_path / "deep.png", channels=channels)[0, 0].tolist() == [[0, 1], [255, 100]]
    with pytest.raises(UsageError, match="takes 4"):
        read_image(tmp_path / "deep.png", channels=4)


def test_large_images_are_resized_with_antialiasing(tmp_path: Path, checkpoint: Path) -> None:
    """A fine checkerboard becomes even grey; without antialiasing it would not."""
    board = (np.indices((256, 320)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "board.png")
    predictor = open_predictor(checkpoint, arch="resnet_uva", normalisation=((0.0,) * 3, (1.0,) * 3))
    seen = predictor.preprocessing(read_image(tmp_path / "board.png", channels=3))
    assert seen.shape == (1, 3, 32, 32)
    assert float((seen - 0.5).abs().max()) < 0.02


def test_help_says_what_becomes_of_an_image(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "predict", "--help")
    assert code == 0
    assert "resized by its shorter side, and the square in its centre is cut out" in " ".join(out.split())
    assert "Example" in out


def bad_image(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.png"
    if kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.touch()
    elif kind == "cut":
        Image.fromarray(noise(64, 64)).save(path)
        path.write_bytes(path.read_bytes()[:-3000])
    elif kind == "float":
        path = path.with_suffix(".tiff")
        Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(path)
    elif kind == "eps":
        path = path.with_suffix(".eps")
        Image.fromarray(noise(8, 8)).save(path)
    elif kind == "huge":
        Image.new("1", (30_000, 10_000)).save(path)
    return path


UNREADABLE = {
    "text": "is no image file",
    "empty": "is no image file",
    "cut": "is a damaged image file",
    "float": "32 bits",
    "eps": "is no image file",  # Pillow would start Ghostscript
    "huge": "too many pixels",
}


def test_unreadable_images_are_named_at_the_end_and_the_others_answered(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Path
) -> None:
    good = tmp_path / "good.png"
    Image.fromarray(noise(32, 32)).save(good)
    bad = [bad_image(tmp_path, kind) for kind in UNREADABLE]
    words = ["predict", checkpoint, *bad, good, "--arch", "resnet_uva", *NORMALISATION]
    code, out, err = run(capsys, *words)
    assert code == 1
    assert [line for line in out.splitlines() if "png" in line or "tiff" in line] == [str(good)]
    lines = err.splitlines()
    assert lines[-1] == "convatlas: 6 of 7 images cannot be read"
    for path, message, line in zip(bad, UNREADABLE.values(), lines[-7:-1], strict=True):
        assert message in line
        assert path.name in line
    code, out, err = run(capsys, *words, "--json")
    assert code == 1
    content = [json.loads(line) for line in out.splitlines()]
    assert [each["image"] for each in content] == [*map(str, bad), str(good)]
    assert ["error" in each for each in content] == [True] * 6 + [False]


def test_folders_patterns_and_names_on_standard_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which people count; hidden files and files of other kinds are left out."""
    photos = tmp_path / "photos of ada"
    (photos / "more").mkdir(parents=True)
    names = ["2.png", "10.PNG", "more/é,1.png"]
    for name in [*names, ".hidden.png"]:
        Image.fromarray(noise(32, 32)).save(photos / name, format="PNG")
    (photos / "notes.txt").write_text("no image")
    words = ["--arch", "resnet_uva", *NORMALISATION, "--json"]

    def found(*images: object) -> list[str]:
        code, out, err = run(capsys, "predict", checkpoint, *images, *words)
        assert code == 0, err
        return [json.loads(line)["image"] for line in out.splitlines()]

    paths = [str(photos / name) for name in names]
    assert found(photos) == paths
    assert found(photos / "*.[pP][nN][gG]") == paths[:2]
    assert found(photos / "**" / "*.png") == [paths[0], paths[2]]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([paths[2], "", paths[0]])))
    assert found("-", paths[1]) == [paths[2], paths[0], paths[1]]
    monkeypatch.setattr("sys.stdin", io.StringIO(str(photos / "more")))
    assert found("-") == paths[2:]
    assert found(photos / "*") == paths


def test_files_that_are_passed_over_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Path
) -> None:
    """Two names that differ in case are two images, and no reason to stop."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ("x.png", "X.png"):
        Image.fromarray(noise(32, 32)).save(folder / name)
    for name in ("a.HEIC", "notes.txt"):
        (folder / name).write_bytes(b"?")
    for word in (folder, folder / "*"):
        code, out, err = run(capsys, "predict", checkpoint, word, "--arch", "resnet_uva", *NORMALISATION, "--json")
        assert code == 0, err
        assert {Path(json.loads(line)["image"]).name for line in out.splitlines()} == {"x.png", "X.png"}
        assert "passed over, since their names do not end like those of images: " in err
        assert "a.HEIC" in err


def test_names_that_are_no_utf8_and_names_of_two_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Path
) -> None:
    for name in (b"bad\xff.png", b"two\nlines.png"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            Image.fromarray(noise(32, 32)).save(file, format="PNG")
    words = ["predict", checkpoint, tmp_path / "*.png", "--arch", "resnet_uva", *NORMALISATION]
    assert run(capsys, *words, "--csv", tmp_path / "a.csv")[0] == 0
    assert b"/bad\xff.png," in (tmp_path / "a.csv").read_bytes()
    code, out, _ = run(capsys, *words, "--top", "1")
    assert code == 0
    assert len(out.splitlines()) == 2 * 2 + 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.png"], "no image at missing.png"),
        (["*.missing"], r"no image at \*.missing"),
        (["empty"], "empty and the folders in it hold no image; .png, .jpg"),
        (["-"], "no image is named on standard input"),
        (["good.png", "--tta", "flop"], "--tta flop makes no sense|unknown --tta"),
        (["good.png", "--csv", "a.csv", "--json"], "--csv and --json do not go together"),
        (["good.png", "--csv", "good.png/a.csv"], "good.png"),
        (["good.png", "--csv", "empty"], "--csv empty is a folder; name a file"),
    ],
)
def test_words_that_mean_no_image(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    Path("empty").mkdir()
    Image.fromarray(noise(32, 32)).save("good.png")
    code, out, err = run(capsys, "predict", checkpoint, *words, "--arch", "resnet_uva", *NORMALISATION)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert re.search(message, err)


def test_a_table_of_many_images(capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Path) -> None:
    """The answers do not depend on the other images, in the file as on the screen; the file is whole or not there."""
    for index in range(70):  # more than are read at a time
        Image.fromarray(noise(40, 33, seed=index)).save(tmp_path / f"{index}.png")
    (tmp_path / "70.png").write_bytes(b"no picture")
    words = ["--arch", "resnet_uva", *NORMALISATION]
    code, out, _ = run(capsys, "predict", checkpoint, tmp_path, *words, "--csv", tmp_path / "a.csv", "--top", "2")
    assert code == 1
    assert f"wrote {tmp_path / 'a.csv'}" in out
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "class", "probability", "class_2", "probability_2", "error"]
    assert [row["image"] for row in rows] == [str(tmp_path / f"{index}.png") for index in range(71)]
    assert (rows[70]["class"], "is no image file" in rows[70]["error"]) == ("", True)
    code, out, _ = run(capsys, "predict", checkpoint, tmp_path / "69.png", *words, "--json")
    best = json.loads(out)["predictions"][0]
    assert rows[69]["class"] == best["class"]
    assert float(rows[69]["probability"]) == pytest.approx(best["probability"], abs=2e-6)
    code, out, _ = run(capsys, "predict", checkpoint, tmp_path, *words)
    assert code == 1
    lines = out.splitlines()
    assert len(lines) == 70 + 1
    assert re.fullmatch(rf"{tmp_path}/69.png: class \d [\d.]+ %", lines[69])


def test_answers_are_averaged_over_views(tmp_path: Path, checkpoint: Path) -> None:
    """Each probability is the mean over the squares, which are those that NumPy cuts."""
    pixels = noise(36, 50)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    preprocessing = Preprocessing(32, (0.5,) * 3, (0.25,) * 3, shorter_side=36)
    predictor = replace(
        open_predictor(checkpoint, arch="resnet_uva", normalisation=((0.5,) * 3, (0.25,) * 3)),
        preprocessing=preprocessing,
    )
    squares = [pixels[t : t + 32, x : x + 32] for t, x in ((0, 0), (0, 18), (4, 0), (4, 18), (2, 9))]
    for averaging, chosen in (("none", squares[4:]), ("flip", squares[4:]), ("ten-crop", squares)):
        views = [*chosen, *(square[:, ::-1] for square in chosen if averaging != "none")]
        batch = torch.from_numpy(np.stack(views).copy()).permute(0, 3, 1, 2)
        plain = replace(predictor, preprocessing=preprocessing.whole)
        expected = plain.logits(batch).double().softmax(1).mean(0)
        given = next(answers(predictor, [tmp_path / "a.png"], top=7, averaging=averaging))  # type: ignore[arg-type]
        assert [p for _, p in given.classes] == pytest.approx(expected.sort(descending=True).values.tolist(), abs=1e-6)


def test_views_that_the_data_cannot_have(checkpoint: Path) -> None:
    predictor = open_predictor(checkpoint, arch="resnet_uva", normalisation=((0.5,) * 3, (0.25,) * 3))
    with pytest.raises(UsageError, match="a mirrored image of mnist is not of its class any more; leave out --tta"):
        check_averaging(replace(predictor, data="mnist"), "flip")
    padded = replace(predictor, preprocessing=replace(predictor.preprocessing, fit="pad"))
    check_averaging(padded, "flip")
    with pytest.raises(UsageError, match=r"sees whole images \(--fit pad\), of which no crops are cut; use --tta flip"):
        check_averaging(padded, "ten-crop")


def test_memory_does_not_grow_with_the_number_of_images(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most three times the images that are worked on together are read before the first is answered."""
    path = tmp_path / "a.png"
    Image.fromarray(noise(32, 32)).save(path)
    read: list[Path] = []
    real = views.views_of
    monkeypatch.setattr(images, "views_of", lambda place, *a, **k: (read.append(place), real(place, *a, **k))[1])
    predictor = open_predictor(checkpoint, arch="resnet_uva", normalisation=((0.5,) * 3, (0.25,) * 3))
    given = answers(predictor, [path] * 2000)
    next(given)
    given.close()
    assert len(read) <= 4 * images.AT_A_TIME


@pytest.mark.slow
def test_bad_words(capsys: pytest.CaptureFixture[str], tmp_path: Path, checkpoint: Path) -> None:
    image = tmp_path / "good.png"
    Image.fromarray(noise(32, 32)).save(image)
    for words in (
        [checkpoint],
        [checkpoint, image, "--top", "0"],
        [tmp_path / "nothing.pt", image],
        [image, image],
        [tmp_path, image],
        [checkpoint, image, "--csv"],
        [checkpoint, image, "--arch", "densenet_uva", *NORMALISATION],
    ):
        code, out, err = run(capsys, "predict", *words)
        assert (code, out, err.count("\n")) == (2, "", 1), err
