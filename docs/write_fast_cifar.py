"""Writes docs/fast_cifar.md: the recipe `fast_cifar` against the tutorial's, and the studies that led to it.

The numbers come from results/fast_cifar/: `report` wrote `comparison`, bench/recipe_studies.py the others.

python docs/write_fast_cifar.py                        rewrite the page
python docs/write_fast_cifar.py --from runs/REPORT     take over the results of `report` first
python docs/write_fast_cifar.py --check                change nothing; exit 1 where the page is stale
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import update_readme
from benchmark_tables import short

from convatlas.errors import UsageError
from convatlas.evaluation import t_quantile
from convatlas.files import read_json, write_text
from convatlas.recipe import recipe
from convatlas.report.protocol import values

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results/fast_cifar"
TARGET = ROOT / "docs/fast_cifar.md"
STUDIES = ("schedule", "optimizers", "muon", "around", "preactivation", "googlenet", "densenet")
PAIRED = ("precision_epyc", "precision")  # here runs of one seed are pairs, with the same random draws
BAR = -0.5  # points: bf16 counts as not worse where the interval's lower end is above
COLUMNS = ("network", "recipe", "n", "validation %", "95 % interval", "test %", "training s a run, not comparable")
HEADER = """# fast_cifar

> {recipe}

```sh
convatlas train resnet_uva --data cifar10 --recipe fast_cifar
```

A recipe of 10 epochs for the tutorial's networks, which stay unchanged. On `resnet_uva` the whole recipe was measured,
against 10 and 40 epochs of the tutorial's `uva_sgd`, but not against its 180 epochs. On the other three networks it was
measured in short trainings on a part of the images (below); its accuracy there after 10 epochs of all images was not
measured. The recipe is not shown to be better than 40 epochs of `uva_sgd`, nor better than `uva_sgd` in float32.
Augmentation, batch size and normalisation are the tutorial's. The schedule is different: the learning rate rises and
falls once. The optimizer is different: Muon makes the step of each convolution's kernel an orthogonal matrix, AdamW
trains norms, biases and the classifier, and the momentum is Nesterov's. The learning rate and the weight decay are
different because of the optimizer. All numbers are of bf16 on both sides, except in the last two studies, which compare
bf16 with float32; the recipe itself says float32.

## Against the tutorial's recipe
"""
STUDIES_HEADER = """## Studies

The first and the third study led to the recipe. The other studies came later, when its test accuracies were known, and
changed nothing. Each study trains recipes on the same images over the same seeds, for a fraction of the full training;
the best recipe there need not be the best in a longer training. Rows may differ in several settings at once. Muon was
not separated from its AdamW, and Lion was not tried. Only training images are read: the held-out part selects, and the
test images are never seen. If the first row of a table also stands in another table, both rows show the same runs,
except in the last two tables. These runs are older than the folding of batch norms in bf16; because of the folding,
`validation %` of later runs can differ from `of the last epoch` by rounding. Each difference has its 95 % interval of
Student's t. The interval is over seeds only, assumes one deviation for all recipes of the table, and is at 95 % by
itself. `of the last epoch` is the validation accuracy of the last epoch, which nothing selects.

The last two studies ask whether bf16 is worse than float32. The aim was to show that bf16 is not worse by half a point,
judged by the lower end of the interval. The first of the two studies, with three seeds, did not show it. After that was
known, the study was repeated with five seeds on another processor, and differences of pairs were added to both.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where the page is stale")
    parser.add_argument("--from", dest="source", type=Path, help="a study's folder; its results are taken over first")
    wanted = parser.parse_args(arguments)
    if wanted.check and wanted.source:
        parser.error("--check changes nothing; --from takes results over")
    try:
        if wanted.source:
            update_readme.take_over(wanted.source, RESULTS / "comparison")
        text = page()
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    if not wanted.check:
        write_text(TARGET, text)
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(
        "docs/fast_cifar.md is not what results/fast_cifar says; run python docs/write_fast_cifar.py", file=sys.stderr
    )
    return 1


def page() -> str:
    """Returns the page as Markdown."""
    parts = [HEADER.format(recipe=recipe("fast_cifar").summary())]
    parts += [comparison(read_json(RESULTS / "comparison/results.json")), STUDIES_HEADER]
    for name in (*STUDIES, *PAIRED):
        content = read_json(RESULTS / f"{name}.json")
        pairs = [paired(row, content["rows"][0]) for row in content["rows"][1:] if name in PAIRED]
        parts.append(f"### {heading(content)}\n\n{study(content)}\n{said(content, pairs)}")
    return "\n".join(parts)


def comparison(content: dict[str, Any]) -> str:
    """Returns the table of the full trainings, their differences and their circumstances."""
    rows, protocol = content["rows"], content["protocol"]
    lines = [f"| {' | '.join(COLUMNS)} |", "|:--|:--" + "|--:" * (len(COLUMNS) - 2) + "|"]
    for row in rows:
        low_high = [f"{100 * end:.2f}" for end in row["val_top1_ci95"] or ()]
        accuracies = [spread([run[key] for run in row["runs"]]) for key in ("val_top1", "test_top1")]
        cells = [f"`{row['architecture']}`", f"`{row['recipe']}`", str(row["n_seeds"]), accuracies[0]]
        cells += [" to ".join(low_high), accuracies[1], f"{row['train_seconds']:,.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    data = protocol["data"]
    commands = dict.fromkeys(
        without(command, valued=("--seed", "--out"), flags=("--resume", "--quiet")) for command in protocol["command"]
    )
    facts = {
        "n": f"seeds {', '.join(map(str, protocol['seeds']))}, or the first n of them; mean ± standard deviation, "
        "interval of Student's t; the intervals of differences use the deviation pooled over the table's rows, also "
        "for a row of one run",
        "Validation": "its images chose the recipe and each run's epoch; nothing was chosen on the test images",
        "Data": f"`{data['name']}`, {data['train']:,} training, {data['validation']:,} validation and {data['test']:,} "
        f"test images, split {data['split_hash']}; {'; '.join(protocol['notes'])}",
        "Selection": "; ".join(protocol["selection"]) + "; the test images were used once a run, at its end",
        "Hardware": "; or ".join(map(values, protocol["hardware"])) + "; two runs side by side, of one thread each",
        "Versions": "; ".join(map(values, protocol["versions"])),
        "Commits": ", ".join(short(commit) for commit in protocol["git_commit"]),
        "Commands": ", ".join(f"`{command}`" for command in commands) + ", with `--seed`",
    }
    best = [f"- {content['comparison']['sentence']}"] if content["comparison"] else []
    return "\n".join([*lines, "", *ahead(rows), *best, "", *(f"- {term}: {text}" for term, text in facts.items()), ""])


def ahead(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the differences between `fast_cifar` and each other recipe of the same network, on validation."""
    lines = []
    for own in rows:
        others = [row for row in rows if row["architecture"] == own["architecture"] and row is not own]
        if not own["recipe"].startswith("fast_cifar"):
            continue
        for other in others:
            difference, verdict = against(own, other, [own, *others])
            tested, _ = against(own, other, [own, *others], judge="test_top1")
            lines.append(
                f"- `{own['architecture']}`: `{own['recipe']}` less `{other['recipe']}` on validation, in points: "
                f"{difference}, {verdict}; on test: {tested}."
            )
    return lines


def without(command: str, *, valued: Sequence[str] = (), flags: Sequence[str] = ()) -> str:
    """Returns a command without some of its options: `valued` options have a value, `flags` have none.

    >>> without("train --seed 1 --quiet net --seed=2 --epochs 2", valued=["--seed"], flags=["--quiet"])
    'train net --epochs 2'
    """
    kept: list[str] = []
    words = iter(command.split())
    for word in words:
        if word in valued:
            next(words, None)
        elif word not in flags and not word.startswith(tuple(f"{option}=" for option in valued)):
            kept.append(word)
    return " ".join(kept)


def heading(content: dict[str, Any]) -> str:
    """Returns a study's question. Where unused images judge, the number of seeds and the processor follow."""
    if not content["unused"]:
        return str(content["question"])
    seeds = len(content["rows"][0]["runs"])
    return f"{content['question']} {seeds} seeds, {'; '.join(machine['cpu'] for machine in content['hardware'])}"


def said(content: dict[str, Any], pairs: Sequence[str]) -> str:
    """Returns the sentences on pairs of runs, and the circumstances of a study."""
    data = content["data"]
    notes = dict.fromkeys(note for notes in content["notes"] for note in notes)
    commits = ", ".join(short(commit) for commit in content["git_commit"])
    judged = f", {content['unused']:,} other training images judge" if content["unused"] else ""
    torch = "; or ".join(dict.fromkeys(versions["torch"] for versions in content["versions"]))
    facts = {
        "Data": f"the first {data['train']:,} training images of `{data['name']}`, {content['epochs']} epochs; "
        f"{data['validation']:,} validation images select{judged}; {'; '.join(notes)}",
        "Beside": f"`{content['network']}`, {'; or '.join(map(values, content['hardware']))}, {content['processes']} "
        f"runs side by side; torch {torch}, commit {commits}; `{content['command']}`",
    }
    return "\n".join([*pairs, *(f"- {term}: {text}" for term, text in facts.items())]) + "\n"


def paired(row: dict[str, Any], first: dict[str, Any]) -> str:
    """Returns the difference on unused images between runs of one seed, with the 95 % interval of Student's t."""
    others = {run["seed"]: run["unused_top1"] for run in first["runs"]}
    differences = [100 * (run["unused_top1"] - others[run["seed"]]) for run in row["runs"]]
    middle = statistics.fmean(differences)
    half = t_quantile(len(differences) - 1) * statistics.stdev(differences) / math.sqrt(len(differences))
    shown = "above" if middle - half > BAR else "not above"
    return (
        f"- `{row['variant']}` less `{first['variant']}` on unused images, by pairs of one seed (the same initial "
        f"weights, order of images and augmentation), in points: {middle:+.2f} ({middle - half:+.2f} to "
        f"{middle + half:+.2f}), {len(differences)} pairs; the lower end is {shown} {BAR}"
    )


def study(content: dict[str, Any]) -> str:
    """Returns a study's table: each recipe's accuracy, and its difference from the first row."""
    first, *_ = rows = content["rows"]
    judge = "unused_top1" if content["unused"] else "val_top1"
    columns = ["recipe", "validation %, n runs", "of the last epoch", "training %", "from the first row, points", ""]
    if content["unused"]:
        columns.insert(2, "unused images %")
    lines = [f"| {' | '.join(columns)} |", "|:--" + "|--:" * (len(columns) - 2) + "|:--|"]
    for row in rows:
        keys = ["last_top1", "train_top1"]
        best, *others = ([run[key] for run in row["runs"]] for key in ("val_top1", *keys))
        cells = [row["variant"], f"{spread(best)}, {len(best)}", *map(mean, others)]
        if content["unused"]:
            cells.insert(2, spread([run["unused_top1"] for run in row["runs"]]))
        cells += ["", ""] if row is first else against(row, first, rows, judge=judge)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def against(
    row: dict[str, Any], first: dict[str, Any], rows: Sequence[dict[str, Any]], *, judge: str = "val_top1"
) -> list[str]:
    """Returns the difference of two recipes with its 95 % interval, and the verdict."""
    own, other = ([run[judge] for run in each["runs"]] for each in (row, first))
    difference = statistics.fmean(own) - statistics.fmean(other)
    half = half_width(len(own), len(other), [[run[judge] for run in each["runs"]] for each in rows])
    if half is None:
        return [f"{100 * difference:+.2f}", "not judged: one run each"]
    low, high = difference - half, difference + half
    verdict = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    return [f"{100 * difference:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})", verdict]


def half_width(n: int, m: int, groups: Sequence[Sequence[float]]) -> float | None:
    """Returns half of the 95 % interval of the difference of two means over seeds; None where every group is one run.

    The interval is Student's t. The deviation is pooled over all recipes of the study, because each recipe has only a
    few runs.
    """
    freedom = sum(len(group) - 1 for group in groups)
    if freedom == 0:
        return None
    squares = sum((len(group) - 1) * statistics.variance(group) for group in groups if len(group) > 1)
    return t_quantile(freedom) * math.sqrt(squares / freedom * (1 / n + 1 / m))


def spread(values: Sequence[float]) -> str:
    """Returns mean ± standard deviation in percent."""
    return mean(values) if len(values) == 1 else f"{mean(values)} ± {100 * statistics.stdev(values):.2f}"


def mean(values: Sequence[float]) -> str:
    return f"{100 * statistics.fmean(values):.2f}"


if __name__ == "__main__":
    sys.exit(main())
