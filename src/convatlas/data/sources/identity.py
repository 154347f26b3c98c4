"""The identity of a published collection, which the names of its files do not prove: checksums and first labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from convatlas.data.sources.layouts.parts import Part
from convatlas.errors import UsageError
from convatlas.files import open_regular

FEWEST = 6  # labels from which a collection is told: any others begin alike once in a million
MANY = 100  # images from which another beginning is noted; fewer are somebody's test
LARGEST = 100 * 2**20  # bytes of a file whose checksum is computed

# The labels with which training and test part begin.
FIRST_LABELS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "mnist": ((5, 0, 4, 1, 9, 2, 1, 3, 1, 4), (7, 2, 1, 0, 4, 1, 4, 9, 5, 9)),
    "fashion_mnist": ((9, 0, 0, 3, 0, 2, 7, 2, 5, 5), (9, 2, 1, 1, 6, 1, 4, 6, 5, 7)),
    "cifar10": ((6, 9, 9, 4, 1, 1, 2, 7, 8, 3), (3, 8, 8, 0, 6, 6, 1, 6, 3, 1)),
}

# The sha256 of the first image, (C, H, W), of the training and the test part, of collections that we could read.
FIRST_IMAGES = {
    "23ceaef5eb61f0e70d64ac18fdf0f60df3d5971cf30bbadac7b6ebf07f782d2c": "mnist",
    "8f6a418c9a639f9e14e96feca47a97df2a35a0a68ae2875431c5c80e05536941": "mnist",
    "e052de7deb775f78e5e3b718032db5e72434ae6f0d34152c7ad434521631b17c": "cifar10",
    "73eefb0106f2b7a2660668be6875682f6aa9c20820633725642b0cc87dc59198": "cifar10",
}

# The idx files of collections that have the same names: images and labels to train, images and labels to test. The
# publishers of the last two give md5 only.
IDX_NAMES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
IDX_CHECKSUMS: dict[str, tuple[str, ...]] = {
    "mnist": (
        "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
    "fashion_mnist": (
        "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "md5:25c81989df183df01b3e8a0aad5dffbe",
        "md5:bef4ecab320f06d8554ea6380940ec79",
        "md5:bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "kmnist": (
        "md5:bdb82020997e1d708af4cf47b453dcf7",
        "md5:e144d726b3acfaa3e44228e80efcd344",
        "md5:5c965bf0a639b31b8f53240b1b52f4d7",
        "md5:7320c461ea6c1c855c0b718fb2a4b134",
    ),
}
_BY_CHECKSUM = {checksum: name for name, checksums in IDX_CHECKSUMS.items() for checksum in checksums}


def check_files(home: Path, *, name: str) -> None:
    """Raises `UsageError` where a file in a folder is the published one of another collection than `name`."""
    for path in sorted(home.glob("*ubyte*")):
        if path.is_file() and path.stat().st_size <= LARGEST:
            for checksum in _checksums(path):
                other = _BY_CHECKSUM.get(checksum, name)
                if other != name:
                    raise _of_another(path, other, f"it has its published {checksum.partition(':')[0]}", name=name)


def check_parts(home: Path, train: Part, test: Part, *, name: str) -> list[str]:
    """Returns a note for each part that does not begin as the published one.

    Raises `UsageError` where one begins as that of another collection of such images.
    """
    notes = []
    for number, (word, part) in enumerate((("training", train), ("test", test))):
        first, image = part.labels[:10], hashlib.sha256(part.images[0].tobytes()).hexdigest()
        if FIRST_IMAGES.get(image, name) != name:
            raise _of_another(home, FIRST_IMAGES[image], f"its first {word} image is known", name=name)
        begins = [each for each, labels in FIRST_LABELS.items() if _alike(first, labels[number])]
        same_form = [each for each in begins if (each == "cifar10") == (part.images.shape[1] == 3)]
        if same_form and name not in same_form:
            raise _of_another(home, same_form[0], f"its first {word} labels are {_listed(first)}", name=name)
        if name in FIRST_LABELS and name not in begins and len(part) >= MANY:
            notes.append(
                f"not the published {word} images of {name} in their order: the first labels are {_listed(first)}, "
                f"the published ones {_listed(np.array(FIRST_LABELS[name][number]))}"
            )
    return notes


def _checksums(path: Path) -> Iterator[str]:
    for kind in ("sha256", "md5"):
        with open_regular(path) as file:
            yield f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"


def _alike(found: np.ndarray, published: tuple[int, ...]) -> bool:
    """Returns whether labels, enough of them, are those with which a published part begins."""
    return len(found) >= FEWEST and found.tolist() == list(published[: len(found)])


def _listed(labels: np.ndarray) -> str:
    return ", ".join(map(str, labels.tolist()))


def _of_another(place: Path, other: str, reason: str, *, name: str) -> UsageError:
    """Returns the error for files of another collection."""
    known = f"take --data {other}, or " if other in FIRST_LABELS else ""
    return UsageError(f"{place} is of {other}, not of {name}: {reason}; {known}name another folder with --data-dir")
