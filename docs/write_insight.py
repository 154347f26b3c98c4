"""Writes the measured parts of docs/insight.md from results/insight/, so that no number of a table is typed by hand.

python docs/write_insight.py                  rewrite the parts
python docs/write_insight.py --from FOLDER    take over a folder of `convatlas explain --curves` first, and its figures
python docs/write_insight.py --check          change nothing; exit 1 where the page is stale
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark_tables import short
from page_script import run
from places import check_no_places, without_places

from convatlas.errors import UsageError
from convatlas.files import read_json, write_json
from convatlas.insight.explain.curves import verdict
from convatlas.report.protocol import values

ROOT = Path(__file__).resolve().parent.parent
PART = re.compile(r"(<!-- explain:(\w+):begin -->\n).*?(<!-- explain:\2:end -->)", re.DOTALL)
KEPT = ("source", "architecture", "sanity", "curves", "notes", "session")
FIGURES = {"curves.png": "curves", "sanity.png": "sanity"}  # file: the part of the content that says that it is there

Content = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Runs the command line on the checkout at `root` and returns its exit code."""
    results, target = root / "results/insight", root / "docs/insight.md"

    def made() -> tuple[str, Callable[[], None]]:
        text = PART.sub(
            lambda found: f"{found[1]}\n{part(read_json(results / f'{found[2]}.json'))}\n{found[3]}",
            target.read_text(encoding="utf-8"),
        )
        return text, lambda: None  # the figures are those of the explanation

    return run(
        __doc__,
        arguments,
        target,
        script="write_insight.py",
        source="the explanation to take over first",
        take_over=lambda folder: take_over(folder, results, figures=root / "docs/insight"),
        made=made,
    )


def take_over(source: Path, results: Path, *, figures: Path) -> None:
    """Keeps the checks of an explanation and its images' answers, without the places of this machine, and its figures.

    Raises `UsageError` for one without curves, and for a place that remains.
    """
    content = read_json(source / "explain.json")
    if content["curves"] is None:
        raise UsageError(f"{source} has no curves; convatlas explain measures them with --curves or --curve-images")
    images = [
        {
            "name": each["name"],
            "classes": each["classes"],
            "remarks": {found["method"]: found["remark"] for found in each["maps"]},
        }
        for each in content["images"]
    ]
    kept = without_places({**{name: content[name] for name in KEPT}, "images": images})
    check_no_places(kept, source=source)
    write_json(results / f"{content['architecture']}.json", kept)
    for file, name in FIGURES.items():
        if content[name] is not None:
            shutil.copyfile(source / file, figures / f"{content['architecture']}-{file}")


def part(content: Content) -> str:
    """Returns the table of the methods, what is clear from it, and how it was measured."""
    curves, session = content["curves"], content["session"]
    verdicts = (verdict(kind, found, curves["titles"]) for kind, found in curves["kinds"].items())
    said = " ".join(f"{line[0].upper()}{line[1:]}." for line in verdicts)
    images = f"{curves['images']} {curves['source'] or 'photographs'}"
    lines = [
        *table(content),
        "",
        textwrap.fill(said, 118),
        "",
        f"- Images: {images}; 95 % intervals of Student's t over the images, those of differences image by image",
        *(f"- Note: {note}" for note in content["notes"]),
        f"- Hardware: {values(session['hardware'])}",
        f"- Versions: {values(session['versions'])}; commit {short(session['git_commit'] or 'unknown')}",
        f"- Command: `{session['command']}`",
        "",
    ]
    return "\n".join(lines)


def table(content: Content) -> list[str]:
    """Returns the areas under the curves by method, and the rank correlations of the sanity check where there are."""
    curves, sanity = content["curves"], content["sanity"]
    columns = ["method"]
    for kind in curves["kinds"]:
        columns += [f"{kind}: area", "minus random order"]
    columns += ["rank correlation, random weights"] if sanity else []
    rows = [f"| {' | '.join(columns)} |", f"|:--{'|--:' * (len(columns) - 1)}|"]
    for name, title in curves["titles"].items():
        cells = [title]
        for found in curves["kinds"].values():
            less = found["less_random"].get(name)
            cells += [spread(found["areas"][name], ".3f"), "-" if less is None else spread(less, "+.3f")]
        if sanity:
            last = sanity["correlations"].get(name, [None])[-1]
            cells.append("-" if last is None else f"{last:.2f}")
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def spread(found: Content, form: str) -> str:
    """Returns a mean with its 95 % interval.

    >>> spread({"mean": 0.1, "ci95": [-0.02, 0.22]}, "+.3f")
    '+0.100 (-0.020 to +0.220)'
    """
    if found["ci95"] is None:
        return f"{found['mean']:{form}}"
    low, high = found["ci95"]
    return f"{found['mean']:{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    sys.exit(main())
