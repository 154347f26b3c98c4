"""Writes docs/fast_cifar.md: the studies behind the recipe `fast_cifar`, from results/fast_cifar/*.json.

python docs/write_fast_cifar.py            rewrite the page
python docs/write_fast_cifar.py --check    change nothing; exit 1 where the page is stale
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convatlas.evaluation import t_quantile
from convatlas.run import read_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results/fast_cifar"
TARGET = ROOT / "docs/fast_cifar.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where the page is stale")
    wanted = parser.parse_args(arguments)
    text = page()
    if not wanted.check:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print("docs/fast_cifar.md is not what results/fast_cifar says; run python docs/write_fast_cifar.py", file=sys.stderr)
    return 1


def study(content: dict[str, Any]) -> str:
    """A study's table: each recipe's accuracy, and how far it is from the first row's."""
    first, *_ = rows = content["rows"]
    lines = ["| recipe | validation %, n runs | of the last epoch | training % | from the first row, points | |"]
    lines.append("|:--|--:|--:|--:|--:|:--|")
    for row in rows:
        best, last, train = ([run[key] for run in row["runs"]] for key in ("val_top1", "last_top1", "train_top1"))
        cells = [row["variant"], f"{spread(best)}, {len(best)}", mean(last), mean(train)]
        cells += ["", ""] if row is first else against(row, first, rows)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def against(row: dict[str, Any], first: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[str]:
    """The difference of two recipes with its 95 % interval, and what that means."""
    own, other = ([run["val_top1"] for run in each["runs"]] for each in (row, first))
    difference = statistics.fmean(own) - statistics.fmean(other)
    low, high = (difference + sign * half_width(len(own), len(other), rows) for sign in (-1, 1))
    verdict = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    return [f"{100 * difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})", verdict]


def half_width(n: int, m: int, rows: Sequence[dict[str, Any]]) -> float:
    """Half of the 95 % interval of the difference of two means over seeds.

    Student's t with the deviation pooled over all recipes of the study, as each has only a few runs.
    """
    groups = [[run["val_top1"] for run in row["runs"]] for row in rows]
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum((len(group) - 1) * statistics.variance(group) for group in groups if len(group) > 1)
    return t_quantile(freedom) * math.sqrt(squares / freedom * (1 / n + 1 / m))


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation in percent."""
    return mean(values) if len(values) == 1 else f"{mean(values)} ± {100 * statistics.stdev(values):.2f}"


def mean(values: Sequence[float]) -> str:
    return f"{100 * statistics.fmean(values):.2f}"
