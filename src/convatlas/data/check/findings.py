"""Findings: what the facts of all images say about the data, from faults to harmless facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from convatlas.data.check import kinds
from convatlas.data.check.duplicates import Groups, alike_images, spread
from convatlas.data.check.kinds import KINDS, Gravity
from convatlas.data.check.scan import Scan

FORMATS: dict[str, tuple[str, ...]] = {  # by Pillow's name: the endings that files of this kind have
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "MPO": (".mpo", ".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}


@dataclass(frozen=True)
class Finding:
    """A finding of a kind of `KINDS`. `groups` has the numbers of images that belong together, mostly one by one.

    `details` has a text for each group, or none. A finding about classes names them in `classes`. `gravity` is that of
    the kind, unless the data is as it was published.
    """

    kind: str
    gravity: Gravity
    groups: tuple[tuple[int, ...], ...] = ()
    details: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(map(len, self.groups))

    @property
    def sentence(self) -> str:
        """The finding in one line."""
        title = KINDS[self.kind].title
        if self.classes:
            return f"{title}: {', '.join(self.classes[:5])}{' ...' if len(self.classes) > 5 else ''}"
        if not self.groups:
            return ": ".join((title, *self.details))
        images = f"{self.images:,} image{'s' if self.images > 1 else ''}"
        if len(self.groups) == self.images:
            return f"{images} {title}"
        return f"{title}: {images} in {len(self.groups):,} group{'s' if len(self.groups) > 1 else ''}"

    def content(self, scan: Scan) -> dict[str, Any]:
        """Returns the finding as plain data, with every image."""
        details = self.details or ("",) * len(self.groups)
        groups = [
            {"images": [scan.described(number) for number in group], **({"detail": detail} if detail else {})}
            for group, detail in zip(self.groups, details, strict=False)
        ]
        said = {"kind": self.kind, "gravity": self.gravity, "sentence": self.sentence, "count": self.images}
        return {**said, "classes": list(self.classes), "groups": groups, "meaning": KINDS[self.kind].meaning}


def make_finding(kind: str, groups: Iterable[Iterable[int]], details: Iterable[str] = ()) -> Finding:
    """Returns a finding about images."""
    return Finding(kind, KINDS[kind].gravity, tuple(map(tuple, groups)), tuple(details))


def find(scan: Scan, equal: Groups) -> Iterator[Finding]:
    """Yields all findings in the order of `KINDS`; `equal` are the groups of equal images."""
    found = [*_of_reading(scan), *_of_classes(scan), *_of_copies(scan, equal), *_of_looks(scan), *_of_files(scan)]
    yield from in_order(found)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Returns findings in the order of `KINDS`."""
    return sorted(findings, key=lambda finding: list(KINDS).index(finding.kind))


def _of_reading(scan: Scan) -> Iterator[Finding]:
    if scan.reasons:
        yield make_finding("unreadable", [[number] for number in scan.reasons], scan.reasons.values())


def _of_classes(scan: Scan) -> Iterator[Finding]:
    """Yields findings about the number of readable images of each class in each split."""
    names = scan.data.spec.class_names
    counts = {part: scan.class_counts(place) for place, part in enumerate(scan.parts)}
    train = counts["train"]
    measured = [part for place, part in enumerate(scan.parts) if part != "train" and (scan.part == place).any()]
    absent = np.any([counts[part] == 0 for part in measured], axis=0) if measured else np.zeros(len(names), bool)
    chosen = {
        "empty-class": train == 0,
        "absent-class": absent,
        "tiny-class": (train > 0) & (train < kinds.TINY_CLASS),
    }
    for kind, which in chosen.items():
        if which.any():
            yield Finding(kind, KINDS[kind].gravity, classes=tuple(np.array(names)[which].tolist()))
    if len(names) and train.min() > 0 and train.max() >= kinds.IMBALANCE * train.min():
        rare, frequent = int(train.argmin()), int(train.argmax())
        said = f"{train[frequent]:,} of {names[frequent]}, {train[rare]:,} of {names[rare]}"
        yield Finding("imbalance", KINDS["imbalance"].gravity, details=(said,))


def _of_copies(scan: Scan, equal: Groups) -> Iterator[Finding]:
    """Yields findings about equal and alike images; faults of published data are warnings: it stays as it is."""
    published = ":" not in scan.data.spec.name
    for kinds_of, groups in (
        (("leak", "contradiction", "repeated"), equal),
        (("near-leak", "near-contradiction", "near-repeated"), alike_images(scan) if scan.hashed else []),
    ):
        for kind, chosen in zip(kinds_of, spread(scan, groups), strict=True):
            if chosen:
                gravity: Gravity = "warning" if published else KINDS[kind].gravity
                yield Finding(kind, gravity, tuple(map(tuple, chosen)))


def _of_looks(scan: Scan) -> Iterator[Finding]:
    """Yields findings about light, sharpness, information and shape."""
    facts = scan.facts
    shorter = np.minimum(facts["height"], facts["width"])
    longer = np.maximum(facts["height"], facts["width"])
    plain = facts["span"] <= kinds.SPAN
    judged = ~plain & (shorter >= kinds.LEAST_SIDE)
    dark, bright = ~plain & (facts["bright"] < kinds.DARK), ~plain & (facts["dark"] > kinds.BRIGHT)
    chosen = {
        "one-colour": plain,
        "dark": dark,
        "bright": bright,
        "blurred": judged & (facts["sharpness"] < kinds.BLURRED),
        "little-information": judged & ~dark & ~bright & (facts["entropy"] < kinds.ENTROPY),
        "odd-shape": shorter < kinds.ASPECT * longer,
        "small": (shorter < kinds.SMALL_SIDE) & (longer.max(initial=0) >= kinds.LEAST_SIDE),
    }
    details = {"odd-shape": _shapes, "small": _shapes}
    for kind, which in chosen.items():
        numbers = np.flatnonzero(which & facts["readable"]).tolist()
        if numbers:
            said = details[kind](facts, numbers) if kind in details else ()
            yield make_finding(kind, [[number] for number in numbers], said)


def _of_files(scan: Scan) -> Iterator[Finding]:
    """Yields facts about the files, which are no faults."""
    facts = scan.facts
    misnamed = [number for number in np.flatnonzero(facts["readable"]).tolist() if _is_misnamed(scan, number)]
    chosen: Mapping[str, list[int]] = {
        "turned": np.flatnonzero(facts["orientation"] > 1).tolist(),
        "animated": np.flatnonzero(facts["animated"]).tolist(),
        "transparent": np.flatnonzero(facts["transparent"]).tolist(),
        "misnamed": misnamed,
    }
    for kind, numbers in chosen.items():
        if numbers:
            said = [facts[number]["format"].decode() for number in numbers] if kind == "misnamed" else ()
            yield make_finding(kind, [[number] for number in numbers], said)


def _is_misnamed(scan: Scan, number: int) -> bool:
    """Returns whether the name of an image ends like those of another kind."""
    kind = scan.facts[number]["format"].decode()
    suffix = PurePath(scan.name(number)).suffix.lower() if kind else ""
    return any(suffix in endings for endings in FORMATS.values()) and suffix not in FORMATS.get(kind, ())


def _shapes(facts: np.ndarray, numbers: list[int]) -> list[str]:
    return [f"{facts[number]['width']} x {facts[number]['height']}" for number in numbers]
