"""Findings about boxes: what is wrong with the annotations of images, as their files state them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from convatlas.data.boxes.annotations import Annotation
from convatlas.data.boxes.listing import BoxListing
from convatlas.data.boxes.truth import has_boxes
from convatlas.data.check.findings import Finding, make_finding
from convatlas.data.check.kinds import OVERLAP
from convatlas.data.check.scan import Scan


def box_findings(scan: Scan, listing: BoxListing) -> Iterator[Finding]:
    """Yields the findings about the annotations of the images of a scan."""
    numbers = scanned(scan)
    yield from _missing(listing, numbers)
    names = {place: name for place, name in enumerate(listing.names) if place >= listing.known}
    kinds: dict[str, Callable[[Annotation], str]] = {
        "box-class": lambda each: _strange(each, names),
        "box-outside": lambda each: _boxes(each, each.outside),
        "box-empty": lambda each: _boxes(each, each.inverted),
        "box-repeated": lambda each: _boxes(each, repeated(each)),
        "box-cut": lambda each: _boxes(each, each.reaching),
        "no-boxes": lambda each: "" if len(each) else each.shown,
    }
    for kind, said in kinds.items():
        found = [(number, said(listing.annotations[place])) for place, number in numbers.items()]
        found = [(number, detail) for number, detail in found if detail]
        if found:
            yield make_finding(kind, [[number] for number, _ in found], [detail for _, detail in found])
    yield from _sizes(scan, listing, numbers)


def scanned(scan: Scan) -> dict[int, int]:
    """Returns the first number in the scan of each image of the store."""
    found: dict[int, int] = {}
    start = 0
    for images in scan.data.parts.values():
        if has_boxes(images):
            for place, index in enumerate(images.index.tolist()):
                found.setdefault(index, start + place)
        start += len(images)
    return found


def without_missing(scan: Scan, listing: BoxListing) -> Scan:
    """Returns the scan without reasons for the images that are not there: they have a finding of their own."""
    absent = {name for _, name in listing.absent}
    gone = {number for place, number in scanned(scan).items() if listing.store.name(place) in absent}
    return replace(scan, reasons={number: why for number, why in scan.reasons.items() if number not in gone})


def repeated(annotation: Annotation) -> np.ndarray:
    """Returns which boxes (n,) are of the class of an earlier one, which they overlap almost wholly."""
    corners, labels = annotation.corners, annotation.labels
    low = np.maximum(corners[:, None, :2], corners[None, :, :2])
    high = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = np.prod(np.clip(corners[:, 2:] - corners[:, :2], 0, None), axis=1)
    alike = common > OVERLAP * (areas[:, None] + areas[None] - common)
    which: np.ndarray = np.tril(alike & (labels[:, None] == labels[None]) & (common > 0), -1).any(1)
    return which


def _missing(listing: BoxListing, numbers: dict[int, int]) -> Iterator[Finding]:
    """Yields a finding about images that annotations describe and that are not there."""
    place = {listing.store.name(number): number for number in numbers}
    known = [(numbers[place[name]], shown) for shown, name in listing.absent if name in place]
    if known:
        yield make_finding("image-missing", [[number] for number, _ in known], [shown for _, shown in known])
    others = [f"{name} of {shown}" for shown, name in listing.absent if name not in place]
    if others:
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        yield make_finding("image-missing", (), (f"{others[0]}{more}",))


def _sizes(scan: Scan, listing: BoxListing, numbers: dict[int, int]) -> Iterator[Finding]:
    """Yields a finding about readable images whose annotation states another size."""
    found = []
    for place, number in numbers.items():
        annotation, facts = listing.annotations[place], scan.facts[number]
        real = (int(facts["width"]), int(facts["height"]))
        if facts["readable"] and (annotation.width, annotation.height) != real:
            stated = f"{annotation.width} x {annotation.height} in the annotation"
            found.append((number, f"{stated}, {real[0]} x {real[1]} in the file"))
    if found:
        yield make_finding("image-size", [[number] for number, _ in found], [detail for _, detail in found])


def _boxes(annotation: Annotation, which: np.ndarray) -> str:
    """Returns in words how many boxes are meant, and the corners of the first as x1, y1, x2, y2."""
    if not which.any():
        return ""
    count = int(which.sum())
    corners = ", ".join(f"{side:g}" for side in annotation.corners[which][0])
    return f"{count} box{'es, the first' if count > 1 else ''} {corners}"


def _strange(annotation: Annotation, names: dict[int, str]) -> str:
    """Returns the names of the unknown classes in an annotation."""
    found = dict.fromkeys(names[label] for label in annotation.labels.tolist() if label in names)
    return ", ".join(found)
