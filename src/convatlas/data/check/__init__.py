"""The check of a data set: everything that is to be known before a network is trained on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convatlas.data.check.boxes import box_findings, without_missing
from convatlas.data.check.content import imbalance, summary
from convatlas.data.check.duplicates import counts, equal_images
from convatlas.data.check.findings import Finding, find, in_order, make_finding
from convatlas.data.check.kinds import KINDS, OF_BOXES, OF_CLASSES
from convatlas.data.check.pictures import shown, thumbnail
from convatlas.data.check.scan import Scan, Watch, scan_images
from convatlas.data.dataset import DataSet, Source

if TYPE_CHECKING:
    from convatlas.data.boxes.listing import BoxListing
from convatlas.errors import UsageError

__all__ = [
    "KINDS",
    "Check",
    "Finding",
    "Scan",
    "check_data",
    "found_data",
    "imbalance",
    "make_finding",
    "scan_images",
    "shown",
    "summary",
    "thumbnail",
]

MODES = {  # Pillow's names of the kinds of pixel, in words
    "1": "black and white",
    "L": "grey",
    "LA": "grey with transparency",
    "P": "palette",
    "RGB": "colour",
    "RGBA": "colour with transparency",
    "I;16": "grey of 16 bits",
    "I;16B": "grey of 16 bits",
    "RGB;16": "colour of 16 bits",
    "RGBA;16": "colour of 16 bits with transparency",
}
INSTALL = "python -m pip install 'convatlas[check]'"


@dataclass(frozen=True)
class Check:
    """The check of a data set. `undone` has a line for each check that was not made, or not well, with the remedy.

    `searched` says that wrong labels were searched with the answers of a run, `boxed` that the images have boxes.
    """

    scan: Scan
    findings: tuple[Finding, ...]
    duplicates: tuple[dict[str, Any], ...]
    undone: tuple[str, ...] = ()
    searched: bool = False
    boxed: bool = False

    @property
    def may_train(self) -> bool:
        """Whether a network may be trained on the data: no finding is a fault."""
        return not any(finding.gravity == "fault" for finding in self.findings)

    def with_finding(self, finding: Finding) -> Check:
        """Returns the check with one more finding, in the order of `KINDS`."""
        return replace(self, findings=tuple(in_order((*self.findings, finding))))

    def passed(self) -> list[tuple[str, str]]:
        """Returns title and meaning of each kind of fault or warning of which nothing was found."""
        found = {finding.kind for finding in self.findings}
        needing = {"near-leak", "near-contradiction", "near-repeated"} if not self.scan.hashed else set()
        needing |= {"mislabelled"} if not self.searched else set()
        needing |= OF_CLASSES if self.boxed else OF_BOXES
        looked = [(name, kind) for name, kind in KINDS.items() if name not in found | needing]
        return [(kind.title, kind.meaning) for _, kind in looked if kind.gravity != "fact"]

    def content(self) -> dict[str, Any]:
        """Returns the check as plain data."""
        return {
            **summary(self.scan.data),
            "duplicates": list(self.duplicates),
            "may_train": self.may_train,
            "pictures": pictures(self.scan),
            "findings": [finding.content(self.scan) for finding in self.findings],
            "undone": list(self.undone),
        }


def found_data(source: Source, *, folder: Path | None = None) -> tuple[DataSet, str | None]:
    """Reads the data of a source; where no split can be drawn, the images as they were found, and the reason.

    Raises `UsageError` where there is no data.
    """
    try:
        return source.load(folder), None
    except UsageError as error:
        if source.found is None or folder is not None:
            raise
        splits = source.found()
        return DataSet(source.spec, splits.train, splits.validation, splits.test, splits.notes), str(error)


def check_data(
    data: DataSet, *, unsplit: str | None = None, watch: Watch | None = None, boxed: BoxListing | None = None
) -> Check:
    """Looks at every image of a data set once and returns what there is to say.

    `unsplit` is the reason why no split can be drawn. `boxed` has the annotations of images with boxes. Raises
    `UsageError` for images that cannot be checked.

    >>> from convatlas.data import load_data
    >>> found = check_data(load_data("digits"))
    >>> found.may_train, [finding.kind for finding in found.findings]
    (True, [])
    """
    scan = scan_images(data, watch=watch)
    if boxed is not None:
        scan = without_missing(scan, boxed)
    equal = equal_images(scan)
    undone = () if scan.hashed else (f"alike pictures were not searched: that needs imagehash; {INSTALL}",)
    findings = tuple(find(scan, equal))
    if boxed is not None:
        kept = [finding for finding in findings if finding.kind not in OF_CLASSES]
        findings = tuple(in_order([*kept, *box_findings(scan, boxed)]))
    found = Check(scan, findings, tuple(counts(scan, equal)), undone, boxed=boxed is not None)
    said = {"image-missing", "box-class", "leak"} & {finding.kind for finding in findings} if boxed else set()
    return found if unsplit is None or said else found.with_finding(make_finding("no-split", (), (unsplit,)))


def pictures(scan: Scan) -> dict[str, Any]:
    """Returns the sizes of the readable images, and how many have each format and each kind of pixel."""
    facts = scan.facts[scan.facts["readable"]]
    sides = {name: facts[name] for name in ("width", "height")}
    spans = {
        name: {"least": int(own.min()), "median": float(np.median(own)), "most": int(own.max())}
        for name, own in sides.items()
        if len(own)
    }
    modes = {MODES.get(name, name): count for name, count in _counted(facts["mode"]).items()}
    return {**spans, "formats": _counted(facts["format"]), "pixels": modes}


def _counted(names: np.ndarray) -> dict[str, int]:
    """Returns the number of images of each name, the most frequent first."""
    values, often = np.unique(names[names != b""], return_counts=True)
    return {values[place].decode(): int(often[place]) for place in np.argsort(-often, kind="stable")}
