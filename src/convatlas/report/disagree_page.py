"""One self-contained HTML page of a disagreement: table, matrices, and images with each network's answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.report.page import data_address, png
from convatlas.report.protocol import in_words
from convatlas.report.templates import template


def render_disagree(content: Mapping[str, Any], pixels: Mapping[str, np.ndarray], *, folder: Path) -> str:
    """Returns the page of `content`, as `--json` has it; `pixels` are the images (n, H, W, C) of both kinds.

    The figures are those in `folder`.
    """
    images = {
        kind: [(data_address(png(picture)), each) for picture, each in zip(shown, content[kind]["shown"], strict=True)]
        for kind, shown in pixels.items()
    }
    return template("disagree.html.j2").render(
        content=content,
        names={member["number"]: member["name"] for member in content["members"]},
        images=images,
        matrix=data_address((folder / "agreement.png").read_bytes()),
        terms=in_words(content["protocol"]),
    )
