"""Writes docs/textbook.md: the published results of the textbook's and the slides' experiments beside ours.

Our results come from results/textbook/*.json; each file holds a run's record and its epochs.

python docs/write_textbook.py                    rewrite the page
python docs/write_textbook.py --from runs/NAME   take over a run first
python docs/write_textbook.py --check            change nothing; exit 1 where the page is stale
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convatlas.architectures import architecture, list_architectures
from convatlas.files import read_json, write_json
from convatlas.recipe import recipe
from convatlas.run import read_run

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results/textbook"
KEPT = ("architecture", "recipe", "seed", "data", "notes", "versions", "git_commit", "hardware", "command", "results")
HEADER = """# The textbook's experiments, and the slides'

Dive into Deep Learning (Zhang, Lipton, Li, Smola 2021) trains its forms of the classic networks with one plain recipe:

> {recipe}

with Xavier initial weights, without augmentation, on resized images. ResNet has a learning rate of 0.05, and GoogLeNet
takes images of 96 pixels. The book's numbers are accuracies on the test images, on which it validates too, after 10
epochs of all training images, with one seed. `convatlas train NAME --data cifar10` repeats each training, because the
recipe belongs to the network. Here a held-out part of the training images selects the epoch, and the test images are
used once.
"""
SLIDES = """## The slides' ResNet

`resnet14_slides` is the residual network of lecture slides, by https://github.com/yunjey/pytorch-tutorial, with

> {recipe}

`convatlas train resnet14_slides --data cifar10` trains it. No accuracy of its source was checked, so none is quoted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where the page is stale")
    parser.add_argument("--from", dest="source", type=Path, nargs="*", default=[], help="runs to take over first")
    wanted = parser.parse_args(arguments)
    for source in wanted.source:
        take_over(source)
    target, text = ROOT / "docs/textbook.md", page()
    if not wanted.check:
        target.write_text(text, encoding="utf-8")
        return 0
    if target.is_file() and target.read_text(encoding="utf-8") == text:
        return 0
    print("docs/textbook.md is not what results/textbook says; run python docs/write_textbook.py", file=sys.stderr)
    return 1


def take_over(source: Path) -> None:
    """Copies a run's record and epochs into results/textbook, without the paths of this machine."""
    run = read_run(source)
    content = run.record.content()
    record = {name: content[name] for name in KEPT}
    words = record["command"].split()
    record["command"] = " ".join(
        "FOLDER" if before in ("--data-dir", "--out") else word for before, word in pairs(words)
    )
    record["data"] = {name: value for name, value in record["data"].items() if name != "classes"}
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = f"{record['architecture']['name']}_{record['data']['train']}_images.json"
    write_json(RESULTS / name, {**record, "epochs": run.metrics()})


def pairs(words: list[str]) -> list[tuple[str, str]]:
    """Returns each word with the word before it."""
    return list(zip(["", *words], words, strict=False))


def page() -> str:
    """Returns the page as Markdown."""
    runs = [read_json(path) for path in sorted(RESULTS.glob("*.json"))]
    parts = [HEADER.format(recipe=recipe("textbook").summary()), published(), ours(runs)]
    return "\n".join([*parts, SLIDES.format(recipe=recipe("tutorial_adam").summary())])


def published() -> str:
    """Returns the table of the textbook's numbers."""
    lines = ["## As published", "", "| network | pixels | recipe | data | published % | remark |"]
    lines.append("|:--|--:|:--|:--|--:|:--|")
    for name in list_architectures("*textbook*"):
        row = architecture(name)
        for result in row.published:
            cells = (
                f"`{name}`",
                str(row.image_size),
                f"`{row.recipe}`",
                result.dataset,
                f"{100 * result.top1:.2f}",
                row.note,
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def ours(runs: list[dict[str, Any]]) -> str:
    """Returns the table of our runs, epoch by epoch."""
    lines = ["## As run here", "", "| network | data | training images | epoch | train loss | train % | validation % |"]
    lines.append("|:--|:--|--:|--:|--:|--:|--:|")
    for run in runs:
        for row in run["epochs"]:
            cells = (
                f"`{run['architecture']['name']}`",
                run["data"]["name"],
                f"{run['data']['train']:,}",
                str(int(row["epoch"])),
                f"{row['train_loss']:.3f}",
                f"{100 * row['train_top1']:.2f}",
                f"{100 * row['val_top1']:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(line for run in runs for line in said(run))]) + "\n"


def said(run: dict[str, Any]) -> list[str]:
    """Returns the circumstances of a run."""
    trained = sum(epoch["seconds"] for epoch in run["epochs"])
    results, data, hardware, versions = (run[name] for name in ("results", "data", "hardware", "versions"))
    test = (
        f"test {100 * results['test_top1']:.2f} % of {data['test']:,} images"
        if "test_top1" in results
        else "not finished"
    )
    return [
        f"- `{run['architecture']['name']}`, {run['recipe']['name']}, n = 1 (seed {run['seed']}): {test}; "
        f"{trained:,.0f} s of training on {hardware['cpu']}, {hardware['cores']} cores (shared "
        f"with other work); torch {versions['torch']}, commit {run['git_commit']}",
        *(f"  - {note}" for note in run["notes"]),
        f"  - `{run['command']}`",
    ]


if __name__ == "__main__":
    sys.exit(main())
