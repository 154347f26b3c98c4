"""`data check`: every planted fault is found and nothing else; what may be trained on; wrong labels; the page."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import planted
from convatlas.cli import main
from convatlas.data import DataSet, ResidentImages, load_data, open_source
from convatlas.data.check import Check, check_data, found_data
from convatlas.data.check.duplicates import alike_images, equal_images
from convatlas.data.check.facts import sharpness
from convatlas.data.check.scan import scan_images
from convatlas.errors import UsageError
from convatlas.files import write_arrays
from convatlas.prediction.mislabelled import with_suspects
from convatlas.run import Run
from fixtures import fake_data, fake_record

FOLDER = os.environ.get("CONVATLAS_TEST_DATA")
READ_ALL_THE_SAME = ("cmyk", "deep")  # planted, and counted as modes: they are no finding


def groups(checked: Check) -> dict[str, list[set[str]]]:
    """The names of the images of each finding."""
    named = {
        finding.kind: [{checked.scan.name(number) for number in group} for group in finding.groups]
        for finding in checked.findings
    }
    return {kind: found for kind, found in named.items() if found}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[set[str]]]]:
    root = planted.folder(tmp_path_factory.mktemp("faulty"))
    return root, planted.plant(root)


@pytest.fixture(scope="module")
def checked(faulty: tuple[Path, object]) -> Check:
    return check_data(load_data(f"folder:{faulty[0]}"))


def test_every_planted_fault_is_found_and_nothing_else(
    faulty: tuple[Path, dict[str, list[set[str]]]], checked: Check
) -> None:
    """24 planted among 60 sound pictures: all are found or read all the same, with no false alarm."""
    wanted = {kind: names for kind, names in faulty[1].items() if kind not in READ_ALL_THE_SAME}
    found = groups(checked)
    assert {kind: sorted(map(sorted, names)) for kind, names in found.items()} == {
        kind: sorted(map(sorted, names)) for kind, names in wanted.items()
    }


@pytest.mark.skipif(FOLDER is None, reason="needs CIFAR-10 in CONVATLAS_TEST_DATA")
def test_faults_among_real_pictures_of_32_pixels_are_found(tmp_path: Path) -> None:
    """18 planted among 60 photographs of CIFAR-10: all are found, with no false alarm."""
    images = load_data("cifar10", folder=Path(FOLDER or "") / "data/cifar10-lossless-part").train.pixels

    def picture(number: int) -> Image.Image:
        return Image.fromarray(images[number].permute(1, 2, 0).numpy())

    root = planted.folder(tmp_path, picture)
    wanted = {kind: names for kind, names in planted.plant(root, picture).items() if kind not in READ_ALL_THE_SAME}
    found = groups(check_data(load_data(f"folder:{root}")))
    assert {kind: sorted(map(sorted, names)) for kind, names in found.items()} == {
        kind: sorted(map(sorted, names)) for kind, names in wanted.items()
    }


def test_sound_pictures_raise_no_alarm(tmp_path: Path) -> None:
    assert check_data(load_data(f"folder:{planted.folder(tmp_path)}")).findings == ()


@pytest.mark.parametrize("kind", ["csv", "tar"])
def test_every_kind_of_source_is_checked_alike(
    kind: str, faulty: tuple[Path, object], checked: Check, tmp_path: Path
) -> None:
    paths = [path for part in planted.PARTS for path in sorted((faulty[0] / part).rglob("*.*"))]
    if kind == "csv":
        rows = [f"{path},{path.parts[-2]},{path.parts[-3]}" for path in paths]
        (tmp_path / "table.csv").write_text("\n".join(["image,label,split", *rows]))
        reference = f"csv:{tmp_path}/table.csv"
    else:
        for number, path in enumerate(paths):
            with tarfile.open(tmp_path / f"photos-{path.parts[-3]}-0.tar", "a") as shard:
                shard.add(path, f"{number}{path.suffix}")
                label = tarfile.TarInfo(f"{number}.cls")
                label.size = 1
                shard.addfile(label, io.BytesIO(str(planted.CLASSES.index(path.parts[-2])).encode()))
        reference = f"tar:{tmp_path}/photos-*.tar"
    found = check_data(load_data(reference))
    assert [finding.sentence for finding in found.findings] == [finding.sentence for finding in checked.findings]


def test_kinds_of_pixel_are_counted(checked: Check) -> None:
    said = checked.content()["pictures"]
    for name in ("black and white", "CMYK", "grey of 16 bits", "palette", "colour with transparency"):
        assert said["pixels"][name] == 1, name
    assert said["formats"].keys() == {"PNG", "JPEG", "GIF"}
    assert (said["width"]["least"], said["width"]["most"]) == (40, 300)


def test_every_reason_is_said(checked: Check) -> None:
    (finding,) = (finding for finding in checked.findings if finding.kind == "unreadable")
    said = dict(zip((checked.scan.name(group[0]) for group in finding.groups), finding.details, strict=True))
    assert "truncated" in said["val/dog/cut.jpg"]
    assert "a web page" in said["test/fox/page.png"]
    assert "an empty file" in said["train/fox/empty.png"]


def test_the_command_prints_names_and_says_that_training_must_not_begin(
    faulty: tuple[Path, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "new" / "page.html"
    words = ["data", "check", f"folder:{faulty[0]}", "--out", str(page)]
    assert main(words) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "train/cat/03.png = train/dog/not_a_dog.png" in printed
    assert "train/dog/04.jpg ~ val/dog/smaller.png" in printed
    assert "a network must not be trained on it: 3 faults" in printed
    html = page.read_text()
    assert html.count("data:image/jpeg") > 20
    assert "<script" not in html
    assert "http" not in html
    assert main([*words, "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    assert not content["may_train"]
    assert {"data", "splits", "split_hash", "duplicates", "notes", "findings", "pictures", "page"} <= content.keys()
    leak = next(finding for finding in content["findings"] if finding["kind"] == "leak")
    assert [image["split"] for image in leak["groups"][0]["images"]] == ["train", "test"]
    assert Path(leak["groups"][0]["images"][1]["path"]) == faulty[0] / "test/fox/leak.png"


def test_without_the_libraries_the_other_checks_run(
    faulty: tuple[Path, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imagehash", None)
    found = check_data(load_data(f"folder:{faulty[0]}"))
    assert not any(kind.startswith("near") for kind in groups(found))
    assert {"unreadable", "leak", "contradiction", "repeated", "blurred"} <= groups(found).keys()
    assert found.undone == (
        "alike pictures were not searched: that needs imagehash; python -m pip install 'convatlas[check]'",
    )
    assert not any("alike" in title for title, _ in found.passed())


def test_the_number_of_threads_changes_nothing(faulty: tuple[Path, object]) -> None:
    data = load_data(f"folder:{faulty[0]}")
    alone, together = (scan_images(data, workers=workers) for workers in (0, 3))
    assert (alone.facts == together.facts).all()
    assert alone.reasons == together.reasons


# -------------------------------------------------------------------------------------------------------------- classes


def few(root: Path, counts: dict[str, int]) -> str:
    seed = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            planted.picture(seed := seed + 1).save(root / name / f"{number}.png")
    return f"folder:{root}"


def kinds_of(found: Check) -> dict[str, str]:
    return {finding.kind: finding.sentence for finding in found.findings}


def test_a_set_that_cannot_be_split_is_checked_all_the_same(tmp_path: Path) -> None:
    data, reason = found_data(open_source(few(tmp_path, {"cat": 1, "dog": 6, "none": 0})))
    assert reason is not None
    found = check_data(data, unsplit=reason)
    assert kinds_of(found) == {
        "no-split": f"no split can be drawn: {reason}",
        "empty-class": "class without training images: none",
        "tiny-class": "class of few training images: cat, dog",
    }
    assert len(found.scan) == 7
    assert not found.may_train


def test_tiny_classes_and_imbalance_are_warnings(tmp_path: Path) -> None:
    found = check_data(load_data(few(tmp_path, {"cat": 90, "dog": 8})))
    assert kinds_of(found) == {
        "tiny-class": "class of few training images: dog",
        "imbalance": "classes of very different size: 54 of cat, 4 of dog",
    }
    assert found.may_train


def test_a_missing_folder_is_no_finding(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["data", "check", f"folder:{tmp_path}/none"]) == 2
    assert "there is no folder at" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["page.htm", "."])
def test_the_page_has_a_name_that_ends_like_one(out: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "digits", "--out", out]) == 2
    assert "must be the name of a .html file" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------- images in memory


def in_memory(pixels: np.ndarray, labels: list[int]) -> ResidentImages:
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return ResidentImages(images, torch.tensor(labels), torch.arange(100, 100 + len(labels)))


def published(*parts: ResidentImages) -> DataSet:
    return DataSet(open_source("cifar10").spec, *parts)


def test_copies_in_a_published_collection_are_warnings() -> None:
    pixels = np.stack([np.asarray(planted.picture(seed, size=(32, 32))) for seed in range(7)])
    train = in_memory(pixels[[0, 1, 2, 2]], [0, 1, 2, 2])
    found = check_data(published(train, in_memory(pixels[[3, 4]], [3, 4]), in_memory(pixels[[1, 5, 4]], [1, 5, 6])))
    copies = {finding.kind: finding for finding in found.findings if "class" not in finding.kind}
    assert {kind: finding.gravity for kind, finding in copies.items()} == {
        "leak": "warning",
        "contradiction": "warning",
        "repeated": "warning",
    }
    first = copies["leak"].groups[0]
    assert [found.scan.described(number) for number in first] == [
        {"image": "image 101", "split": "train", "class": "automobile"},
        {"image": "image 100", "split": "test", "class": "automobile"},
    ]


def test_equal_pixels_of_another_shape_are_another_picture() -> None:
    flat = np.arange(8 * 32 * 3, dtype=np.uint8)
    wide, high = (in_memory(flat.reshape(1, *shape, 3), [0]) for shape in ((8, 32), (32, 8)))
    assert equal_images(scan_images(published(wide, high, high))) == [[1, 2]]


def test_alike_pictures_are_found_among_many() -> None:
    """Whatever bits of the hashes differ, every pair is found that a comparison of all with all finds."""
    random = np.random.default_rng(0)
    scan = scan_images(
        published(*(in_memory(random.integers(0, 256, (n, 32, 32, 3), np.uint8), [0] * n) for n in (200, 50, 50)))
    )
    scan.facts["thumb"] = scan.facts["thumb"][0]  # of which all agree: the hashes decide
    close = np.bitwise_count(scan.facts["hash"][:, None] ^ scan.facts["hash"][None]) <= 8
    for place in range(0, 300, 3):  # three in a row: 0, 8 and 16 bits apart
        bits = random.permutation(64)
        first = scan.facts["hash"][place]
        scan.facts["hash"][place + 1] = first ^ np.bitwise_or.reduce(np.uint64(1) << bits[:8].astype(np.uint64))
        scan.facts["hash"][place + 2] = first ^ np.bitwise_or.reduce(np.uint64(1) << bits[:16].astype(np.uint64))
    assert not close[~np.eye(300, dtype=bool)].any()
    assert alike_images(scan) == [[place, place + 1, place + 2] for place in range(0, 300, 3)]
    scan.facts["hash"][2::3] ^= np.uint64(1)  # 9 bits from the second one, or 7: to that place the first bit led
    assert all(len(group) >= 2 for group in alike_images(scan))


def test_sharpness_does_not_know_contrast() -> None:
    grey = np.asarray(planted.picture(3).convert("L")).astype(np.float32)
    assert sharpness(grey / 2 + 20) == pytest.approx(sharpness(grey), rel=1e-4)
    assert sharpness(np.zeros((9, 9))) == sharpness(np.ones((2, 9))) == float("inf")


@pytest.fixture(scope="module")
def digits() -> Check:
    return check_data(load_data("digits"))


def test_small_pictures_raise_no_false_alarm(digits: Check) -> None:
    """Digits of 8 pixels, mostly black, are neither dark nor blurred nor alike."""
    assert digits.findings == ()


# --------------------------------------------------------------------------------------------------------- wrong labels


def run_of(data: DataSet, folder: Path, logits: dict[str, np.ndarray], **changes: object) -> Run:
    """A finished run with made-up answers."""
    answers = {}
    for name, part in (("val", "validation"), ("test", "test")):
        images = data.parts[part]
        answers |= {
            f"{name}_logits": logits[part],
            f"{name}_labels": images.labels.numpy(),
            f"{name}_index": images.index.numpy(),
        }
    write_arrays(folder / "predictions.npz", answers)
    record = replace(fake_data(), name=data.spec.name, split_hash=data.split_hash, images_hash=data.images_hash)
    return Run(folder, fake_record("lenet5", data=record, **changes)).write()


@pytest.fixture(scope="module")
def relabelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, Run, set[tuple[str, int]]]:
    """Digits of which every 20th has a wrong label, a run by a linear network on them, and the planted places."""
    from sklearn.linear_model import LogisticRegression

    true = load_data("digits")
    wrong = {}
    for part, images in true.parts.items():
        labels = images.labels.clone()
        labels[::20] = (labels[::20] + 3) % 10
        wrong[part] = replace(images, labels=labels)
    data = replace(true, **wrong)
    network = LogisticRegression(C=0.1, max_iter=300)
    inputs = {part: images.pixels.flatten(1).numpy() / 255 for part, images in data.parts.items()}
    network.fit(inputs["train"], data.train.labels.numpy())
    logits = {part: network.decision_function(own) for part, own in inputs.items()}
    run = run_of(data, tmp_path_factory.mktemp("run"), logits)
    return data, run, {(part, place) for part in ("validation", "test") for place in range(0, 360, 20)}


@pytest.fixture(scope="module")
def looked_at(relabelled: tuple[DataSet, Run, object]) -> Check:
    return check_data(relabelled[0])


def test_wrong_labels_are_found(relabelled: tuple[DataSet, Run, set[tuple[str, int]]], looked_at: Check) -> None:
    _, run, planted_places = relabelled
    found = with_suspects(looked_at, run)
    (finding,) = (finding for finding in found.findings if finding.kind == "mislabelled")
    parts = found.scan.parts
    numbers = {found.scan.number(part, place) for part, place in planted_places}
    named = {group[0] for group in finding.groups}
    assert len(numbers & named) >= 29, "of 36 planted"
    assert len(named - numbers) <= 8, "false alarms among 684"
    assert {parts[found.scan.part[number]] for number in named} == {"validation", "test"}
    assert next(iter(finding.groups))[0] in numbers
    assert finding.gravity == "warning"
    assert finding.details[0].count(" %") == 2
    assert found.undone == looked_at.undone


def test_the_doubts_of_a_weak_network_are_weak(
    relabelled: tuple[DataSet, Run, object], looked_at: Check, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(size=(360, 10))
    weak = run_of(relabelled[0], tmp_path, {"validation": noise, "test": noise})
    (line,) = set(with_suspects(looked_at, weak).undone) - set(looked_at.undone)
    assert re.match(r"the run is right about (8|9|1\d)\.\d\d % of the images whose labels were searched: many", line)


def test_a_run_on_other_data_is_refused(
    relabelled: tuple[DataSet, Run, object], digits: Check, looked_at: Check, tmp_path: Path
) -> None:
    data, run, _ = relabelled
    with pytest.raises(UsageError, match="is on other images than digits"):
        with_suspects(digits, run)
    logits = {part: np.zeros((360, 10)) for part in ("validation", "test")}
    unfinished = run_of(data, tmp_path, logits, status="unfinished")
    with pytest.raises(UsageError, match="is unfinished; only a finished run"):
        with_suspects(looked_at, unfinished)


def test_without_cleanlab_the_check_says_so(
    relabelled: tuple[DataSet, Run, object], looked_at: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convatlas.prediction.mislabelled.find_spec", lambda _: None)
    found = with_suspects(looked_at, relabelled[1])
    assert found.undone == (
        "wrong labels were not searched: that needs cleanlab; python -m pip install 'convatlas[check]'",
    )
