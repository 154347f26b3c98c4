"""The check of a data set: everything that is to be known before a network is trained on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.data.check.content import imbalance, summary
from convatlas.data.check.duplicates import counts, equal_images
from convatlas.data.check.findings import Finding, find, make_finding
from convatlas.data.check.kinds import KINDS
from convatlas.data.check.pictures import shown, thumbnail
from convatlas.data.check.scan import Scan, Watch, scan_images
from convatlas.data.dataset import DataSet, Source
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

    `searched` says that wrong labels were searched with the answers of a run.
    """

    scan: Scan
    findings: tuple[Finding, ...]
    duplicates: tuple[dict[str, Any], ...]
    undone: tuple[str, ...] = ()
    searched: bool = False

    @property
    def may_train(self) -> bool:
        """Whether a network may be trained on the data: no finding is a fault."""
        return not any(finding.gravity == "fault" for finding in self.findings)

    def with_finding(self, finding: Finding) -> Check:
        """Returns the check with one more finding, in the order of `KINDS`."""
        found = sorted((*self.findings, finding), key=lambda finding: list(KINDS).index(finding.kind))
        return replace(self, findings=tuple(found))

    def passed(self) -> list[tuple[str, str]]:
        """Returns title and meaning of each kind of fault or warning of which nothing was found."""
        found = {finding.kind for finding in self.findings}
        needing = {"near-leak", "near-contradiction", "near-repeated"} if not self.scan.hashed else set()
        needing |= {"mislabelled"} if not self.searched else set()
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


def check_data(data: DataSet, *, unsplit: str | None = None, watch: Watch | None = None) -> Check:
    """Looks at every image of a data set once and returns what there is to say.

    `unsplit` is the reason why no split can be drawn. Raises `UsageError` for images that cannot be checked.

    >>> from convatlas.data import load_data
    >>> found = check_data(load_data("digits"))
    >>> found.may_train, [finding.kind for finding in found.findings]
    (True, [])
    """
    scan = scan_images(data, watch=watch)
    equal = equal_images(scan)
    undone = () if scan.hashed else (f"alike pictures were not searched: that needs imagehash; {INSTALL}",)
    found = Check(scan, tuple(find(scan, equal)), tuple(counts(scan, equal)), undone)
    return found if unsplit is None else found.with_finding(make_finding("no-split", (), (unsplit,)))


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
