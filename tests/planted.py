"""A folder of pictures with planted faults, and the finding that each of them must be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

PARTS = {"train": 12, "val": 4, "test": 4}
CLASSES = ("cat", "dog", "fox")
SIZE = (120, 96)


def picture(seed: int, *, size: tuple[int, int] = SIZE) -> Image.Image:
    """A picture like no other: patches of colour with sharp edges, and grain."""
    random = np.random.default_rng(seed)
    patches = Image.fromarray(random.integers(20, 236, (9, 11, 3), dtype=np.uint8))
    levels = np.asarray(patches.resize(size, Image.Resampling.NEAREST)).astype(np.float32)
    return Image.fromarray((levels + random.normal(0, 9, levels.shape)).clip(0, 255).astype(np.uint8))


Pictures = Callable[[int], Image.Image]  # by number


def folder(root: Path, pictures: Pictures = picture) -> Path:
    """Sixty sound pictures of three classes in three parts, as PNG and JPEG."""
    seed = 0
    for part, count in PARTS.items():
        for name in CLASSES:
            home = root / part / name
            home.mkdir(parents=True)
            for number in range(count):
                pictures(seed).save(home / f"{number:02}.{'png' if number % 2 else 'jpg'}", quality=92)
                seed += 1
    return root


def plant(root: Path, pictures: Pictures = picture) -> dict[str, list[set[str]]]:
    """Plants faults among the pictures of `folder`. Returns the kinds of finding, with the names of each group.

    Blur, odd shapes and the like are planted only among pictures of `picture`.
    """
    found: dict[str, list[set[str]]] = {}

    def planted(kind: str, *names: str) -> Path:
        found.setdefault(kind, []).append(set(names))
        return root / names[-1]

    _plant_unreadable(root, planted)
    _plant_copies(root, planted)
    _plant_kinds(planted, pictures)
    _plant_flat(planted)
    if pictures is picture:
        _plant_looks(planted)
    return found


Planted = Callable[..., Path]


def _plant_unreadable(root: Path, planted: Planted) -> None:
    planted("unreadable", "train/cat/noise.jpg").write_bytes(np.random.default_rng(1).bytes(3000))
    whole = (root / "val/dog/00.jpg").read_bytes()
    planted("unreadable", "val/dog/cut.jpg").write_bytes(whole[: len(whole) // 2])
    planted("unreadable", "test/fox/page.png").write_bytes(b"<!doctype html><title>404</title>")
    planted("unreadable", "train/fox/empty.png").write_bytes(b"")


def _plant_copies(root: Path, planted: Planted) -> None:
    shutil.copy(root / "train/cat/00.jpg", planted("repeated", "train/cat/00.jpg", "train/cat/copy.jpg"))
    with Image.open(root / "train/dog/02.jpg") as file:  # another file, the same pixels
        file.save(planted("repeated", "train/dog/02.jpg", "train/dog/again.png"))
    shutil.copy(root / "train/fox/01.png", planted("leak", "train/fox/01.png", "test/fox/leak.png"))
    shutil.copy(root / "train/cat/03.png", planted("contradiction", "train/cat/03.png", "train/dog/not_a_dog.png"))
    with Image.open(root / "train/cat/05.png") as file:
        file.save(planted("near-repeated", "train/cat/05.png", "train/cat/lossy.jpg"), quality=50)
    with Image.open(root / "train/dog/04.jpg") as file:
        file.resize((48, 40)).save(planted("near-leak", "train/dog/04.jpg", "val/dog/smaller.png"))
    with Image.open(root / "test/fox/02.jpg") as file:
        copy = ImageEnhance.Brightness(file).enhance(1.15)
        copy.save(planted("near-contradiction", "test/fox/02.jpg", "test/cat/brighter.jpg"))


def _plant_flat(planted: Planted) -> None:
    Image.new("RGB", (64, 48), (90, 120, 30)).save(planted("one-colour", "train/fox/flat.jpg"))


def _plant_looks(planted: Planted) -> None:
    ImageEnhance.Brightness(picture(900)).enhance(0.25).save(planted("dark", "train/fox/night.png"))
    light = np.asarray(picture(901)).astype(np.float32) / 255 * 10 + 245
    Image.fromarray(light.astype(np.uint8)).save(planted("bright", "train/fox/snow.png"))
    picture(902).filter(ImageFilter.GaussianBlur(5)).save(planted("blurred", "val/cat/blurred.jpg"))
    picture(903, size=(300, 70)).save(planted("odd-shape", "test/dog/wide.png"))
    picture(904, size=(40, 30)).save(planted("small", "train/dog/icon.png"))
    two = np.asarray(picture(905).convert("L")) > 128
    Image.fromarray(two).save(planted("little-information", "train/dog/stencil.png"))


def _plant_kinds(planted: Planted, pictures: Pictures) -> None:
    """Pictures that are read all the same: none of them is a fault."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures(910).save(planted("turned", "train/cat/portrait.jpg"), exif=exif)
    frames = [pictures(seed).convert("P") for seed in (911, 912)]
    frames[0].save(planted("animated", "train/cat/film.gif"), save_all=True, append_images=frames[1:])
    veiled = pictures(913).convert("RGBA")
    veiled.putalpha(Image.linear_gradient("L").resize(veiled.size))
    veiled.save(planted("transparent", "train/dog/veiled.png"))
    pictures(914).save(planted("misnamed", "train/dog/really_png.jpg"), "PNG")
    pictures(915).convert("CMYK").save(planted("cmyk", "train/fox/press.jpg"))
    deep = np.asarray(pictures(916).convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(planted("deep", "train/fox/scan.png"))
