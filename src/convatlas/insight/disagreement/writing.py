"""The folder of a disagreement: table as JSON, matrices, pictures of images, and one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.errors import UsageError
from convatlas.files import check_writable, write_json, write_text
from convatlas.insight.disagreement.figures import draw_agreement, draw_images
from convatlas.insight.disagreement.findings import findings
from convatlas.insight.disagreement.members import read_members
from convatlas.report.disagree_page import render_disagree
from convatlas.report.protocol import protocol
from convatlas.run import Run, other_pixels
from convatlas.words import finite

LARGEST = 96  # pixels of a picture's side; smaller images stay as they are
KINDS = ("all_wrong", "differ")


def write_disagreement(
    folders: Sequence[Path], out: Path, *, data_dir: Path | None = None, device: str = "auto"
) -> dict[str, Any]:
    """Writes `disagree.json`, `disagree.html` and the pictures of the members in folders; returns the content.

    Raises `UsageError` as `read_members` does, and where the images at hand are not those of the runs.
    """
    members = read_members(folders, data_dir=data_dir, device=device)
    content = finite(findings(members))
    pictures = {kind: _pixels(members.all[0].run, content[kind]["shown"], data_dir=data_dir) for kind in KINDS}
    check_writable(out)
    draw_agreement(content, out / "agreement.png")
    content["files"] = ["agreement.png"]
    names = [member.name for member in members.all]
    for kind in KINDS:
        if not content[kind]["count"]:
            continue
        title = _title(kind, content[kind])
        draw_images(content[kind]["shown"], pictures[kind], out / f"{kind}.png", title=title, members=names)
        content["files"].append(f"{kind}.png")
    content["protocol"] = protocol([member.run for member in members.all])
    write_json(out / "disagree.json", content)
    write_text(out / "disagree.html", render_disagree(content, pictures, folder=out))
    return {**content, "page": str(out / "disagree.html")}


def _title(kind: str, found: dict[str, Any]) -> str:
    """Returns the title of the pictures of a kind: how many images there are, and which of them are shown."""
    count, shown = found["count"], len(found["shown"])
    chosen = {"all_wrong": "the surest mistakes", "differ": "the most different answers"}[kind]
    title = {"all_wrong": "images that all networks get wrong", "differ": "images with different answers"}[kind]
    return f"{count:,} {title}" + (f": the {shown} with {chosen}" if shown < count else "")


def _pixels(run: Run, shown: Sequence[dict[str, Any]], *, data_dir: Path | None) -> np.ndarray:
    """Returns the shown test images of a run as uint8 (n, H, W, C). Raises `UsageError` for other images at hand."""
    import torch

    from convatlas.data import is_known, load_data
    from convatlas.data.readability import without_unreadable

    record = run.record.data
    if not is_known(record.name):
        raise UsageError(f"{run.path} was trained on {record.name}, which ConvAtlas does not read")
    data = load_data(record.name, folder=data_dir)
    data = without_unreadable(data) if record.unreadable else data
    if data.split_hash != record.split_hash or other_pixels(data.images_hash, record.images_hash):
        raise UsageError(
            f"the images of {record.name} at hand are not those of {run.path}: their split is {data.split_hash}, "
            f"that of the run {record.split_hash}; name their folder with --data-dir"
        )
    places = torch.tensor([image["place"] for image in shown], dtype=torch.int64)
    size = min(data.spec.image_size or LARGEST, LARGEST)
    if not len(places):
        return np.zeros((0, size, size, data.spec.channels), dtype=np.uint8)
    return data.test.thumbnails(places, size=size).permute(0, 2, 3, 1).numpy()
