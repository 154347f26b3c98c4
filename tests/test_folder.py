"""`folder:PATH`: images of one's own, from the disk through every verb."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.model_selection import train_test_split

from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.data import Images, class_labels, list_data, load_data, open_source
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.sources import listing as module
from convatlas.data.sources.imagenet import imagenet_synsets
from convatlas.errors import UsageError
from convatlas.prediction import choose_data, open_predictor
from convatlas.recipe import recipe
from convatlas.run import Run, read_run, run_there
from convatlas.training import Plan, make_plan, train_plan
from test_training import StopAt, assert_same

CLASSES = ("class 1", "class 9", "class 10")  # people's order; by letters 10 comes before 9
SAMPLE = Path(os.environ.get("CONVATLAS_TEST_DATA", "nowhere")) / "data/imagenet-sample"
TINY = {"depths": (1, 1, 1), "widths": (8, 8, 16)}

pytestmark = pytest.mark.usefixtures("quick_runs")


def put(folder: Path, count: int, *, colour: int = 0, seed: int = 0) -> None:
    """Writes small images of many sizes in two formats, each brighter in one channel."""
    folder.mkdir(parents=True)
    source = np.random.default_rng(seed)
    for number in range(count):
        pixels = source.integers(120, size=(20 + number % 7, 26 - number % 5, 3), dtype=np.uint8)
        pixels[..., colour] += 100
        Image.fromarray(pixels).save(folder / f"{number}.{('jpg', 'PNG')[number % 2]}")


def flat(root: Path, *, each: int = 10) -> Path:
    """A folder for each class."""
    for colour, name in enumerate(CLASSES):
        put(root / name, each, colour=colour, seed=colour)
    return root


def parted(root: Path, *parts: str, each: int = 10) -> Path:
    """Folders of parts, each with a folder for each class."""
    for number, part in enumerate(parts):
        for colour, name in enumerate(CLASSES):
            put(root / part / name, each, colour=colour, seed=10 * number + colour)
    return root


def names(images: Images) -> list[str]:
    assert isinstance(images, StreamedImages)
    return [images.store.name(number) for number in images.index.tolist()]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flat(tmp_path_factory.mktemp("data") / "photos", each=20)


# ------------------------------------------------------------------------------------------------------------ a source


def test_a_reference_is_a_name_or_a_kind_with_a_path(photos: Path) -> None:
    assert open_source("cifar10").spec.name == "cifar10"
    spec = open_source(f"folder:{photos}").spec
    assert (spec.name, spec.label, spec.class_names) == (f"folder:{photos}", "folder-photos", CLASSES)
    assert (spec.channels, spec.image_size, spec.split_seed) == (3, None, 42)
    assert "folder" not in list_data()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("cifr10", "unknown data set 'cifr10'; did you mean cifar10.* a set of your own is folder:PATH"),
        ("fodler:photos", "unknown kind of data 'fodler'; did you mean folder"),
        ("folder:", "names no data; write folder:PATH"),
        ("folder:nowhere", "there is no folder at .*nowhere"),
    ],
)
def test_an_unknown_reference_shows_the_nearest(reference: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(reference)


def test_a_path_means_the_same_from_wherever_it_is_written(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    assert open_source("folder:photos").spec.name == open_source(f"folder:{photos}/").spec.name == f"folder:{photos}"
    monkeypatch.setenv("HOME", str(photos.parent))
    assert open_source("folder:~/photos").spec.name == f"folder:{photos}"


# ------------------------------------------------------------------------------------------------------------ the split


def test_without_parts_the_split_is_60_20_20_in_proportion(photos: Path) -> None:
    data = load_data(f"folder:{photos}")
    assert [len(part) for part in data.parts.values()] == [36, 12, 12]
    for part, each in zip(data.parts.values(), (12, 4, 4), strict=True):
        assert class_labels(part).bincount().tolist() == [each] * 3
        for name, label in zip(names(part), class_labels(part).tolist(), strict=True):
            assert name.startswith(f"{CLASSES[label]}/")
    assert torch.equal(torch.cat([part.index for part in data.parts.values()]).sort().values, torch.arange(60))
    numbers = [int(Path(name).stem) for name in names(data.train)]
    assert numbers == [number for label in range(3) for number in sorted(numbers[12 * label : 12 * label + 12])]
    (note,) = data.notes
    assert "a fifth of the images in photos is held out for validation and a fifth for test" in note
    assert "seed 42: 36 for train, 12 for validation, 12 for test" in note


def test_the_split_is_that_of_digits(tmp_path: Path) -> None:
    """The same two draws of scikit-learn's."""
    labels = np.repeat([0, 1, 2], 10)
    rest, test = train_test_split(np.arange(30), test_size=0.2, stratify=labels, random_state=42)
    train, validation = train_test_split(rest, test_size=0.25, stratify=labels[rest], random_state=42)
    data = load_data(f"folder:{flat(tmp_path)}")
    for part, places in zip(data.parts.values(), (train, validation, test), strict=True):
        assert part.index.tolist() == sorted(places)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_parts_that_exist_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    data = load_data(f"folder:{parted(tmp_path, 'train', name, 'test', each=3)}")
    assert [len(part) for part in data.parts.values()] == [9, 9, 9]
    for part, home in zip(data.parts.values(), ("train", name, "test"), strict=True):
        assert all(path.startswith(f"{home}/") for path in names(part))
    assert data.notes == ()
    assert data.spec.split_seed is None


@pytest.mark.parametrize(("there", "missing"), [("val", "test"), ("test", "validation")])
def test_a_part_that_is_missing_is_held_out_of_train(tmp_path: Path, there: str, missing: str) -> None:
    data = load_data(f"folder:{parted(tmp_path, 'train', there)}")
    assert {part: len(images) for part, images in data.parts.items()} == {
        **dict.fromkeys(data.parts, 30), "train": 24, missing: 6,
    }  # fmt: skip
    assert all(path.startswith("train/") for path in names(data.parts[missing]))
    assert not set(names(data.train)) & set(names(data.parts[missing]))
    assert f"held out for {missing}, every class" in data.notes[0]
    assert data.spec.split_seed == 42


def test_hidden_folders_other_files_and_other_folders_are_left_out_and_said(tmp_path: Path) -> None:
    parted(tmp_path, "train", "val", "test", "masks", each=3)
    for place in (tmp_path / ".cache", tmp_path / "train" / ".thumbs", tmp_path / "train" / CLASSES[0] / ".old"):
        put(place, 1)
    (tmp_path / "train" / CLASSES[0] / "notes.txt").write_text("mine")
    (tmp_path / "train" / CLASSES[0] / ".DS_Store").write_text("")
    put(tmp_path / "train" / CLASSES[0] / "more", 2)  # a folder in a class belongs to it
    shutil.rmtree(tmp_path / "test" / CLASSES[1])
    data = load_data(f"folder:{tmp_path}")
    assert [len(part) for part in data.parts.values()] == [11, 9, 6]
    assert class_labels(data.test).unique().tolist() == [0, 2]
    for text in (
        "masks",
        "hidden folders that were left out: .cache, .thumbs, train/class 1/.old",
        "images deeper in it belong to it: train/class 1",
        "files left out of train, since their names do not end like those of images: 1",
        "test has no image of class 9",
    ):
        assert any(text in note for note in data.notes), text


def test_the_statistics_of_a_large_set_are_of_a_part_and_that_is_said(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STATISTICS_IMAGES", 30)
    assert "they are computed from 30 of the 36 training images" in load_data(f"folder:{photos}").notes[-1]


def test_hashes(tmp_path: Path) -> None:
    """The split's is of paths and labels, the other of contents; neither of the place on the disk."""
    first = load_data(f"folder:{flat(tmp_path / 'a')}")
    again = load_data(f"folder:{shutil.copytree(tmp_path / 'a', tmp_path / 'b')}")
    assert (again.split_hash, again.images_hash) == (first.split_hash, first.images_hash)
    image = tmp_path / "b" / "class 9" / "3.PNG"
    Image.new("RGB", (30, 30), "red").save(image)
    changed = load_data(f"folder:{tmp_path / 'b'}")
    assert changed.split_hash == first.split_hash
    assert changed.images_hash != first.images_hash
    image.rename(image.with_name("30.PNG"))
    assert load_data(f"folder:{tmp_path / 'b'}").split_hash != first.split_hash


def spoiled(root: Path, fault: str) -> None:
    """Writes a folder with one fault."""
    root.mkdir()
    parts = {
        "two validation parts": ("train", "val", "valid"),
        "no train": ("val", "test"),
        "unknown": ("train", "val"),
    }
    if fault in parts:
        parted(root, *parts[fault], each=5)
    elif fault != "empty":
        flat(root, each=5)
    if fault == "unknown":
        put(root / "val" / "class 11", 1)
    elif fault == "one class":
        for name in CLASSES[1:]:
            shutil.rmtree(root / name)
    elif fault == "few":
        (root / CLASSES[2] / "0.jpg").unlink()
    elif fault == "no image":
        shutil.rmtree(root / CLASSES[0])
        (root / CLASSES[0]).mkdir()
    elif fault == "no images at all":
        for path in root.rglob("*.*"):
            path.rename(path.with_suffix(".txt"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("empty", "has 0 class folders and 0 files; folder:PATH needs a folder"),
        ("one class", "has 1 class folder and 0 files"),
        ("no train", "has val, test and no train; training needs images in a part train"),
        ("two validation parts", "has the folders val and valid; leave one"),
        ("unknown", "val has the class class 11, which .*train has not"),
        ("few", "images of class class 10 in .*: 4; 5 or more are needed, or parts train, val and test"),
        ("no image", "images of class class 1 in .*: 0; 5 or more"),
        ("no images at all", r"holds no image; \.png, .* are read"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, fault: str, message: str) -> None:
    root = tmp_path / "data"
    spoiled(root, fault)
    with pytest.raises(UsageError, match=message) as raised:
        load_data(f"folder:{root}")
    assert "\n" not in str(raised.value)


def test_folders_in_a_class_belong_to_it_whatever_their_names(tmp_path: Path) -> None:
    """Two folders of one name in two classes are two classes' images."""
    for number, name in enumerate(("animals/cat", "animals/dog", "toys/cat", "toys/car")):
        put(tmp_path / name, 5, seed=number)
    data = load_data(f"folder:{tmp_path}")
    assert data.spec.class_names == ("animals", "toys")
    for part in data.parts.values():
        for name, label in zip(names(part), class_labels(part).tolist(), strict=True):
            assert name.startswith(("animals/", "toys/")[label])
    assert "a class is a folder of the first level; images deeper in it belong to it: animals, toys" in data.notes


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    root = flat(tmp_path / "photos", each=5)
    shutil.move(root / "class 1", tmp_path / "elsewhere")
    put(tmp_path / "more", 5, seed=9)
    (root / "class 1").symlink_to(tmp_path / "elsewhere")
    (root / "class 9" / "more").symlink_to(tmp_path / "more")
    assert sum(len(part) for part in load_data(f"folder:{root}").parts.values()) == 20


@pytest.mark.parametrize(
    ("link", "target"),
    [("class 1/again", "."), ("class 1/again", "class 1"), ("class 1/9", "class 9"), ("class 11", ".."), ("me", "me")],
)
def test_a_link_in_a_circle_is_refused(tmp_path: Path, link: str, target: str) -> None:
    root = flat(tmp_path / "photos", each=5)
    (root / "class 9" / "1").symlink_to(root / "class 1")
    (root / link).symlink_to(root / target)
    reason = (
        "cannot read .*me: Too many levels" if link == "me" else "is a link that leads in a circle, back to .*; remove"
    )
    with pytest.raises(UsageError, match=reason) as raised:
        load_data(f"folder:{root}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [("class 1/0.jpg", "class 1/0.JPG"), ("class 1", "Class 1"), ("class 9/ÄÖ.png", "class 9/äö.png")],
)
def test_names_that_differ_in_case_only_are_refused(tmp_path: Path, one: str, other: str) -> None:
    root = flat(tmp_path / "photos", each=5)
    for seed, name in enumerate((one, other)):
        if name.endswith(("g", "G")):
            Image.new("RGB", (20, 20 + seed)).save(root / name)
        elif not (root / name).exists():
            put(root / name, 5, seed=99)
    names_there = (
        f"{Path(other).name} and {Path(one).name}" if other < one else f"{Path(one).name} and {Path(other).name}"
    )
    with pytest.raises(
        UsageError, match=f"has {names_there}, which differ in the case of letters only: .*; rename one"
    ):
        load_data(f"folder:{root}")


def test_synsets_are_imagenets_classes(tmp_path: Path) -> None:
    for number, name in enumerate(("n02123045", "n01440764", "n01443537")):
        put(tmp_path / name, 5, seed=number)
    data = load_data(f"folder:{tmp_path}")
    assert data.spec.class_names == ("tench", "goldfish", "tabby")
    assert data.spec.title.endswith("a folder for each class: 3 of ImageNet's 1,000 classes")
    assert data.notes[0] == "synsets name 3 of ImageNet's 1,000 classes"
    assert names(data.test)[0].startswith("n01440764/")
    put(tmp_path / "cats", 5, seed=8)
    assert load_data(f"folder:{tmp_path}").spec.class_names[0] == "cats"


def test_the_synsets_are_the_published_ones() -> None:
    synsets = list(imagenet_synsets())
    assert len(synsets) == len(set(synsets)) == len(set(imagenet_synsets().values())) == 1000
    assert synsets == sorted(synsets)
    for synset, name in {"n02123045": "tabby", "n02504458": "African elephant", "n15075141": "toilet tissue"}.items():
        assert imagenet_synsets()[synset] == name
    if SAMPLE.is_dir():
        assert synsets == sorted(os.listdir(SAMPLE))


def test_a_data_folder_beside_the_path_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave out --data-dir"):
        load_data(f"folder:{photos}", folder=tmp_path)


# ---------------------------------------------------------------------------------------------------- through the verbs


def plan_of(photos: Path, **changes: object) -> Plan:
    """Three epochs of two steps; everything random that a recipe can do to a small image."""
    values = {
        "epochs": 3, "batch_size": 16, "image_size": 16, "flip": 0.5, "crop": "resized", "rand_augment": 1,
        "rand_magnitude": 5.0, "cutout": 4, "mixup": 0.2,
    }  # fmt: skip
    chosen = recipe("quick").replaced(**{**values, **changes})
    data = load_data(f"folder:{photos}")
    return make_plan(architecture("resnet_uva"), data=data, chosen=chosen, seed=0, options=TINY)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 4])
def test_a_run_on_a_folder_resumes_bit_for_bit(photos: Path, tmp_path: Path, step: int) -> None:
    whole = train_plan(plan_of(photos), folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan_of(photos), folder=tmp_path / "stopped", progress=StopAt(step))
    resumed = train_plan(plan_of(photos), folder=tmp_path / "stopped", resume=True)
    assert_same(resumed, whole)


def test_images_of_many_sizes_need_one_to_train_with(photos: Path) -> None:
    with pytest.raises(UsageError, match=r"are of many sizes; name one to train with, such as --set image_size=224"):
        plan_of(photos, image_size=None)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.slow
def test_every_verb(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = f"folder:{photos}"
    small = ("--set", "image_size=16", "--recipe", "quick", "--set", "batch_size=8", "--epochs", 3)
    out = tmp_path / "run"
    code, printed, said = run(capsys, "train", "resnet_uva", "--data", data, *small, "-o", "depths=1,1,1", "--out", out)
    assert code == 0, said
    assert "note: a fifth of the images" in said
    record = read_run(out).record
    assert (record.data.name, record.data.classes, record.data.test) == (data, CLASSES, 12)
    assert record.results["test_top1"] >= 0.9, "three colours are told apart"

    code, printed, _ = run(capsys, "evaluate", out, "--json")
    found = json.loads(printed)
    assert (code, found["data"], found["n"]) == (0, data, 12)
    assert found["top1"] == record.results["test_top1"]
    assert list(found["per_class"]) == list(CLASSES)

    code, printed, _ = run(capsys, "predict", out, photos / "class 10" / "0.jpg", "--json")
    assert code == 0
    assert "class 10" in printed

    assert run(capsys, "report", out, "--out", tmp_path / "report")[0] == 0
    assert (tmp_path / "report" / "report.html").is_file()


@pytest.mark.slow
def test_a_study_on_a_folder(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ("--set", "image_size=32", "--set", "batch_size=16", "--recipe", "quick", "--epochs", 1)
    words = ("compare", "lenet5", "--data", f"folder:{photos}", *small, "--seeds", 2, "--out", tmp_path, "--quiet")
    code, _, said = run(capsys, *words)
    assert code == 0, said
    (row,) = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert (row["n_seeds"], row["split_hash"]) == (2, load_data(f"folder:{photos}").split_hash)


@pytest.mark.slow
def test_data_show_and_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = flat(tmp_path / "photos")
    shutil.copy(root / "class 1" / "0.jpg", root / "class 9" / "100.jpg")
    page = tmp_path / "page.html"
    code, printed, _ = run(capsys, "data", "check", f"folder:{root}", "--out", page, "--json")
    content = json.loads(printed)
    assert (code, content["shape"]) == (1, [3, None, None])  # one picture with two labels is a fault
    assert sum(found["images"] for found in content["duplicates"]) == 1
    assert sum(found["other_label"] for found in content["duplicates"]) == 1
    assert "3 channels, many sizes" in run(capsys, "data", "check", f"folder:{root}", "--out", page)[1]
    figure = tmp_path / "figure.png"
    words = ("data", "show", f"folder:{root}", "--set", "image_size=20", "--out", figure)
    code, printed, said = run(capsys, *words)
    assert code == 0, said
    assert figure.is_file()
    assert "at 20 x 20 pixels" in printed


@pytest.mark.slow
def test_images_of_one_colour_are_refused_with_the_way_on(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "data" / f"class {number}").mkdir(parents=True)
        for image in range(10):
            Image.new("RGB", (16 + image, 16 + number), "red").save(
                tmp_path / "data" / f"class {number}" / f"{image}.png"
            )
    with pytest.raises(UsageError, match=r"have a channel of one value.*; name both, such as --set mean="):
        plan_of(tmp_path / "data", epochs=1)
    chosen = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    assert plan_of(tmp_path / "data", epochs=1, **chosen).preprocessing.std == chosen["std"]


def test_another_folder_is_evaluated_with_a_note(tmp_path: Path) -> None:
    """Of a moved folder nothing is said; of one with other pixels, or other files, what may be wrong with it."""
    one, moved, changed, more = (flat(tmp_path / name) for name in ("one", "moved", "changed", "more"))
    run = train_plan(plan_of(one, epochs=1), folder=tmp_path / "run").path
    Image.new("RGB", (20, 20), "red").save(changed / "class 1" / "0.jpg")
    Image.new("RGB", (20, 20), "red").save(more / "class 1" / "another.jpg")
    predictor = open_predictor(run)
    said = {}
    for folder in (moved, changed, more):
        said[folder] = [
            note
            for note in choose_data(predictor, name=f"folder:{folder}").notes
            if "another copy" in note or "other images" in note
        ]
    assert said[moved] == []
    assert said[changed][0].startswith(f"another copy of folder:{one} than that of {run}")
    assert said[more][0].startswith(f"other images than those of {run}, which was trained on folder:{one}: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("fewer", "began: 2 images fewer; bring the images back, or choose another folder with --out"),
        ("more", "began: 1 image more;"),
        ("content", "began: other content of the same images;"),
        ("renamed", "began: other names, classes or parts of the images;"),
        ("class", "began: class class 11 is new, 5 images more;"),
        ("moved", "began: the same images lay in folder:.*photos; move them back there"),
    ],
)
def test_a_folder_that_changed_since_the_run_began_is_refused(tmp_path: Path, change: str, message: str) -> None:
    root, run_folder = flat(tmp_path / "photos"), tmp_path / "run"
    plan = plan_of(root)
    assert run_there(run_folder, plan.record()) is None
    Run(run_folder, plan.record()).write()
    assert run_there(run_folder, plan_of(root).record()) is not None
    images = root / "class 1"
    if change == "fewer":
        (images / "0.jpg").unlink()
        (images / "2.jpg").unlink()
    elif change == "more":
        Image.new("RGB", (20, 20), "red").save(images / "more.png")
    elif change == "content":
        Image.new("RGB", (20, 20), "red").save(images / "0.jpg")
    elif change == "renamed":
        (images / "0.jpg").rename(images / "another.jpg")
    elif change == "class":
        put(root / "class 11", 5, seed=9)
    elif change == "moved":
        root = root.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=message) as raised:
        run_there(run_folder, plan_of(root).record())
    assert "\n" not in str(raised.value)


def test_a_run_is_not_evaluated_on_a_folder_that_is_split_in_another_way(tmp_path: Path) -> None:
    from convatlas.prediction import evaluate_run

    root = flat(tmp_path / "photos")
    run_folder = train_plan(plan_of(root, epochs=1), folder=tmp_path / "run").path
    (root / "class 1" / "0.jpg").rename(root / "class 1" / "a.jpg")
    with pytest.raises(UsageError, match="would mix training and test images"):
        evaluate_run(run_folder)
    shutil.rmtree(root)
    with pytest.raises(UsageError, match="there is no folder at"):
        evaluate_run(run_folder)
