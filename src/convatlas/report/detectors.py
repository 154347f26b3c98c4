"""Detectors in a report: the average precision of each class, curves of precision and recall, and the worst misses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.drawing import INK, LEGEND, plain, save, styles
from convatlas.files import read_arrays
from convatlas.run import Run
from convatlas.words import percent

FIGURE = "precision_recall.png"
COLUMNS = 3  # panels in a row
MOST = 24  # classes with a panel: those of the most boxes
Named = Sequence[tuple[str, Run]]


def of_detectors(named: Named) -> list[tuple[str, Run, dict[str, np.ndarray]]]:
    """Returns the runs of detectors that keep the measures of each class, with their arrays."""
    found = []
    for name, run in named:
        if run.record.objective == "detection" and (run.path / "predictions.npz").is_file():
            arrays = run.predictions()
            if {"test_curves", "test_class_boxes", "test_class_ap", "test_class_ap50"} <= arrays.keys():
                found.append((name, run, arrays))
    return found


def class_table(named: Named) -> dict[str, Any] | None:
    """Returns the table of the classes: test boxes, and a row with AP and AP50 for each detector; None without any."""
    found = of_detectors(named)
    if not found:
        return None
    classes, boxes = found[0][1].record.data.classes, found[0][2]["test_class_boxes"]
    rows = []
    for label, name in enumerate(classes):
        for place, (network, _, arrays) in enumerate(found):
            cells = [_shown(arrays[f"test_class_{kind}"][label]) for kind in ("ap", "ap50")]
            of_class = ["", ""] if place else [name, f"{int(boxes[label]):,}"]
            rows.append([*of_class, *cells, network])
    return {"headers": ["class", "test boxes", "AP", "AP50", "network"], "rows": rows}


def draw_precision_recall(named: Named, path: Path) -> bool:
    """Draws precision by recall at an overlap of 0.5, a panel for each class; returns whether there was a detector.

    Of more than 24 classes only those of the most boxes have a panel.
    """
    found = of_detectors(named)
    if not found:
        return False
    from matplotlib.figure import Figure

    style = styles(name for name, _, _ in found)
    classes, boxes = found[0][1].record.data.classes, found[0][2]["test_class_boxes"]
    chosen = sorted(np.argsort(-boxes, kind="stable")[:MOST].tolist())
    rows, columns = math.ceil(len(chosen) / COLUMNS), min(COLUMNS, len(chosen))
    figure = Figure(figsize=(9, 3.2 * rows + 0.3 + 0.2 * len(found)), dpi=120, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, label in zip(panels, chosen, strict=False):
        axes.set_title(f"{classes[label]}, {int(boxes[label]):,} boxes", fontsize=10, color=INK, parse_math=False)
        for name, _, arrays in found:
            curve, ap50 = 100 * arrays["test_curves"][label], _shown(arrays["test_class_ap50"][label])
            axes.plot(np.linspace(0, 100, len(curve)), curve, color=style[name][0], label=f"AP50 {ap50} %")
        axes.set(xlim=(0, 100), ylim=(0, 102), xlabel="recall (%)", ylabel="precision (%)")
        axes.legend(loc="lower left", **{**LEGEND, "fontsize": 7.5})
        plain(axes)
    for axes in panels[len(chosen) :]:
        axes.set_axis_off()
    lines = panels[0].get_lines()
    names = [name for name, _, _ in found]
    figure.legend(lines, names, loc="outside lower center", ncols=max(1, 100 // (8 + max(map(len, names)))), **LEGEND)
    save(figure, path)
    return True


def misses(run: Run) -> list[tuple[np.ndarray, str]]:
    """Returns the pictures of a detector's worst misses, uint8 (H, W, 3), with name and numbers of faults in words.

    Runs of older versions keep neither the names nor the part of the square that an image fills.
    """
    path = run.path / "samples.npz"
    samples = read_arrays(path) if path.is_file() else {}
    if not {"misses", "misses_missed", "misses_wrong"} <= samples.keys():
        return []
    pictures = samples["misses"]
    sizes = samples.get("misses_size", np.array([each.shape[:2] for each in pictures], int).reshape(-1, 2))
    names = samples.get("misses_name", np.array([""] * len(pictures), str))
    counts = zip(samples["misses_missed"].tolist(), samples["misses_wrong"].tolist(), strict=True)
    return [
        (pixels[:height, :width], f"{name}{': ' if name else ''}{missed} missed, {wrong} wrong")
        for pixels, (height, width), name, (missed, wrong) in zip(pictures, sizes, names.tolist(), counts, strict=True)
    ]


def _shown(fraction: float) -> str:
    return "-" if math.isnan(fraction) else percent(fraction)
