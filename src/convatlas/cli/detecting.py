"""The answers of a detector: `evaluate` and `predict` come here where the network finds boxes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.cli import options
from convatlas.errors import UsageError
from convatlas.files import check_new, check_writable, write_bytes, write_text
from convatlas.values import Suppression, parse
from convatlas.words import percent

if TYPE_CHECKING:
    from convatlas.detection.precision import FoundBoxes, PrecisionScores
    from convatlas.prediction import Chosen, Predictor
    from convatlas.prediction.detected import Detected

RECALLS = (25, 50, 75, 90)  # percent, of which a table shows the precision
SURE = 0.3  # the score from which boxes are shown
RESULTS = "detections.json"


def print_detector(predictor: Predictor, chosen: Chosen, *, suppression: Suppression | None, as_json: bool) -> None:
    """Evaluates a detector on a split and prints COCO's twelve numbers, and each class."""
    from convatlas.prediction.detected import evaluate_boxes

    suppression, spec = suppression or "hard", chosen.data.spec
    scores = evaluate_boxes(predictor, chosen.data, split=chosen.part, suppression=suppression)
    notes = [*predictor.notes, *chosen.data.notes]
    if as_json:
        options.print_json(
            {
                "architecture": predictor.architecture.name,
                "data": spec.name,
                "split": chosen.split,
                "precision": predictor.precision,
                "suppression": suppression,
                "images": scores.images,
                **scores.numbers,
                "per_class": list(_classes(scores)),
                "notes": notes,
            }
        )
        return
    screen = options.console()
    lines = [
        f"{predictor.architecture.name} on {spec.name} {chosen.split}: average precision {_shown(scores, 'ap')}, AP50 "
        f"{_shown(scores, 'ap50')} ({scores.images:,} images, {sum(scores.class_boxes):,} boxes)",
        *_twelve(scores),
    ]
    for line in (*lines, *notes, f"computed in {predictor.arithmetic}"):
        screen.print(line, style=None if line in lines else "dim", markup=False, highlight=False, soft_wrap=True)
    screen.print(_class_table(scores))


def _twelve(scores: PrecisionScores) -> Iterator[str]:
    """Yields the other numbers of COCO's twelve in two lines."""
    areas = ", ".join(f"{size} {_shown(scores, f'ap_{size}')}" for size in ("small", "medium", "large"))
    yield f"AP75 {_shown(scores, 'ap75')}; average precision of {areas} boxes"
    counts = ", ".join(f"{count} boxes {_shown(scores, f'ar{count}')}" for count in (1, 10, 100))
    yield f"average recall with {counts}"


def _shown(scores: PrecisionScores, name: str) -> str:
    """Returns one of the twelve numbers in percent, and - where there is no true box to measure it on."""
    value = scores.numbers[name]
    return "-" if value is None else f"{percent(value)} %"


def _classes(scores: PrecisionScores) -> Iterator[dict[str, Any]]:
    """Yields the measures of each class, with its precision at each hundredth of recall."""
    columns = (scores.class_names, scores.class_boxes, scores.class_ap, scores.class_ap50, scores.curves)
    for name, boxes, ap, ap50, curve in zip(*columns, strict=True):
        precision = None if ap is None else [round(value, 6) for value in curve.tolist()]
        yield {"class": name, "boxes": boxes, "ap": ap, "ap50": ap50, "precision": precision}


def _class_table(scores: PrecisionScores) -> Any:
    """Returns the table of the classes: boxes, average precision, and the precision at some recalls."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", no_wrap=True)
    for heading in ("boxes", "AP", "AP50", *(f"at recall {recall}" for recall in RECALLS)):
        table.add_column(heading, justify="right")
    for each in _classes(scores):
        curve = [None] * len(RECALLS) if each["precision"] is None else [each["precision"][at] for at in RECALLS]
        cells = ("-" if value is None else f"{percent(value)} %" for value in (each["ap"], each["ap50"], *curve))
        table.add_row(Text(each["class"]), f"{each['boxes']:,}", *cells)
    return table


@dataclass
class Written:
    """The new folder that pictures with boxes and COCO's results are written to; without one nothing is written.

    Raises `UsageError` for a folder that holds something: pictures of two calls would lie side by side.
    """

    folder: Path | None
    results: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.folder is not None:
            check_new(self.folder)
            check_writable(self.folder)

    def add(self, number: int, each: Detected, *, names: Sequence[str], score: float) -> None:
        """Writes the picture of an image with its boxes from a score on, and keeps all its results."""
        from convatlas.detection.pictures import outlines, with_outlines
        from convatlas.detection.precision import coco_results
        from convatlas.report.page import png

        if self.folder is None or each.boxes is None or each.pixels is None:
            return
        results = coco_results([each.boxes])
        named = [{**result, "category": names[result["category_id"] - 1]} for result in results]
        self.results += [{**result, "image_id": number, "file_name": str(each.path)} for result in named]
        sure = each.boxes.above(score)
        drawn = outlines(sure.corners, sure.classes, names=names, scores=sure.scores)
        write_bytes(self.folder / f"{number:04d}-{each.path.stem}.png", png(with_outlines(each.pixels, drawn)))

    def finish(self) -> None:
        """Writes COCO's results and says where."""
        if self.folder is not None:
            write_text(self.folder / RESULTS, json.dumps(self.results))


def suppression_of(text: str | None) -> Suppression | None:
    """Returns the word of --suppression, None without one. Raises `UsageError` for an unknown word."""
    found: Suppression | None = None if text is None else parse(text, Suppression, name="--suppression")
    return found


def check_flags(predictor: Predictor, of_detector: Mapping[str, Any], of_classifier: Mapping[str, Any]) -> None:
    """Raises `UsageError` for a flag of `predict` that is for networks of the other task."""
    detects = predictor.architecture.task == "detection"
    kind, flags = ("detector", of_classifier) if detects else ("classifier", of_detector)
    for flag, value in flags.items():
        if value not in (None, "none"):
            raise UsageError(f"{flag} is not for a {kind}, as {predictor.source} is one; leave it out")


def predict_detector(
    predictor: Predictor,
    paths: Sequence[str],
    *,
    out: Path | None,
    score: float | None,
    suppression: Suppression | None,
    as_json: bool,
) -> list[str]:
    """Prints the boxes that a detector finds in image files, writes them where wanted, and returns the errors.

    Boxes of a lower score than `score` are neither printed on the screen nor drawn; JSON has them all.
    """
    from convatlas.prediction.detected import class_name, detected

    score = SURE if score is None else score
    names = [class_name(predictor, label) for label in range(predictor.num_classes)]
    written, faults = Written(out), []
    for number, each in enumerate(detected(predictor, paths, suppression=suppression or "hard"), 1):
        written.add(number, each, names=names, score=score)
        if each.error is not None:
            faults.append(each.error)
        if as_json:
            said = {"error": each.error} if each.boxes is None else {"detections": _rows(each.boxes, names)}
            options.print_json({"image": str(each.path), **said}, indent=None)
        elif each.boxes is not None:
            _print_boxes(each.path, _rows(each.boxes.above(score), names))
    written.finish()
    if out is not None and not as_json:
        line = f"wrote {len(paths) - len(faults):,} pictures and {RESULTS} to {out}"
        options.console().print(line, highlight=False, soft_wrap=True, markup=False)
    return faults


def _rows(boxes: FoundBoxes, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns boxes as plain data: class, score and corners in pixels."""
    columns = (boxes.classes.tolist(), boxes.scores.tolist(), boxes.corners.tolist())
    return [
        {"class": names[label], "score": round(score, 6), "box": [round(side, 2) for side in box]}
        for label, score, box in zip(*columns, strict=True)
    ]


def _print_boxes(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Prints the boxes in an image: class, score and corners."""
    screen = options.console()
    rows = list(rows)
    counts = "1 box" if len(rows) == 1 else f"{len(rows):,} boxes"
    screen.print(f"{path}: {counts}", highlight=False, soft_wrap=True, markup=False)
    for row in rows:
        box = ", ".join(f"{side:.0f}" for side in row["box"])
        screen.print(
            f"  {row['class']}  {percent(row['score'])} %  {box}", highlight=False, soft_wrap=True, markup=False
        )
