"""One self-contained HTML page of a report: no scripts, nothing loaded from elsewhere, every text escaped."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.files import read_arrays
from convatlas.report import detectors, published, scored, tables
from convatlas.report.classes import class_table, imbalanced
from convatlas.report.few_labels import with_method
from convatlas.report.protocol import in_words
from convatlas.report.templates import template
from convatlas.run import Run
from convatlas.scores import TOP1, Score

SHOWN = 12  # thumbnails of a kind: a row on a laptop's screen


def render(content: Mapping[str, Any], *, folder: Path, runs: Mapping[str, Run], findings: Sequence[str]) -> str:
    """Returns the page of `content`, the content of `results.json`, with the figures in `folder`.

    `findings` are the sentences below the table. `runs` maps the paths in the rows to the runs; their `samples.npz`
    gives the thumbnails.
    """
    rows = content["rows"]
    scores = scored.scores_of(rows)
    headings, table = tables.table_of(rows)
    best = [(name, runs[best_run(row)["path"]]) for name, row in zip(tables.row_names(rows), rows, strict=True)]
    return template("page.html.j2").render(
        content,
        data=content["protocol"]["data"]["name"],
        headers=headings,
        table=table,
        findings=findings,
        accuracy=scores == [TOP1],
        title=scored.title(scores),
        heading=scored.title(scores)[:1].upper() + scored.title(scores)[1:],
        directions=[scored.with_direction(score) for score in scores],
        better_place=scored.better_place(scores),
        run_headers=[header for header in headings if header.startswith(("score", "validation", "test"))],
        run_cells=[[_run_cells(row, run, scores) for run in row["runs"]] for row in rows],
        names=tables.row_names(rows),
        imbalanced=imbalanced(rows),
        classes=class_table(best),
        detected=detectors.class_table(best),
        misses=[(name, pictures) for name, run in best if (pictures := _misses(run))],
        beside=[published.cells(entry) for entry in content["published"]],
        beside_headers=published.HEADERS,
        terms=in_words(content["protocol"]),
        figures=_figures(folder, ("curves", "accuracy_vs_macs", *_further(rows, best))),
        augmentation=next((pairs for _, run in best if (pairs := _augmentation(run))), None),
        mistakes=[(name, shown) for name, run in best if (shown := _mistakes(run))],
    )


def _further(rows: Sequence[scored.Row], best: detectors.Named) -> list[str]:
    """Returns the names of the figures that only some reports have."""
    by_labels = ["accuracy_vs_labels"] if with_method(rows) else []
    return [*by_labels, *([detectors.FIGURE.removesuffix(".png")] if detectors.of_detectors(best) else [])]


def _misses(run: Run) -> list[tuple[str, str]]:
    """Returns the addresses of the pictures of a detector's worst misses, with their faults in words."""
    return [(data_address(png(pixels)), said) for pixels, said in detectors.misses(run)[:SHOWN]]


def _figures(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Returns the addresses of the figures in a folder, by their names."""
    return {name: data_address((folder / f"{name}.png").read_bytes()) for name in names}


def best_run(row: scored.Row) -> dict[str, Any]:
    """Returns the row's entry of the run with the best validation score; of equal runs, the first one."""
    score = scored.score_of(row)

    def place(run: dict[str, Any]) -> float:
        value = scored.seed_value(row, run, "val")
        return -math.inf if value is None else score.better(value)

    known: dict[str, Any] = max(row["runs"], key=place)
    return known


def _run_cells(row: scored.Row, run: Mapping[str, Any], scores: Sequence[Score]) -> list[str]:
    """Returns a run's score on validation and on test, printed; before them its name where not all are accuracies."""
    score = scored.score_of(row)
    values = [score.shown(scored.seed_value(row, run, part)) for part in scored.PARTS]
    return values if scores == [TOP1] else [score.word + score.sign, *values]


def png(pixels: np.ndarray) -> bytes:
    """Returns a uint8 image (H, W, C), C 1 or 3, as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, format="png")
    return buffer.getvalue()


def _samples(run: Run) -> dict[str, np.ndarray]:
    path = run.path / "samples.npz"
    if not path.is_file():
        return {}
    return read_arrays(path)


def _augmentation(run: Run) -> dict[str, Any] | None:
    """Returns training images before and after augmentation, and the name of the recipe; None without images."""
    samples = _samples(run)
    if not len(samples.get("before", ())):
        return None
    pairs = list(zip(_images(samples["before"]), _images(samples["after"]), strict=True))
    return {"recipe": run.record.recipe["name"], "pairs": pairs}


def _mistakes(run: Run) -> list[dict[str, Any]]:
    """Returns the worst mistakes of a run: image, true class, predicted class and the probability of the latter."""
    samples, classes = _samples(run), run.record.data.classes
    if not len(samples.get("mistakes", ())):
        return []
    columns = (samples[f"mistake_{name}"][:SHOWN].tolist() for name in ("labels", "predictions", "probabilities"))
    return [
        {"image": image, "truth": classes[truth], "prediction": classes[prediction], "probability": probability}
        for image, truth, prediction, probability in zip(_images(samples["mistakes"]), *columns, strict=True)
    ]


def _images(pixels: np.ndarray) -> Sequence[str]:
    return [data_address(png(image)) for image in pixels[:SHOWN]]


def data_address(content: bytes) -> str:
    """Returns the content of a PNG file as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
