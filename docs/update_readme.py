"""Writes the generated parts of README.md and docs/benchmarks.md and docs/demo.png, so that no number is typed by hand.

The numbers come from results/demo/results.json and results/bench/*.json.

python docs/update_readme.py                    rewrite the pages and docs/demo.png
python docs/update_readme.py --from runs/demo   take over the results of a study first
python docs/update_readme.py --check            change nothing; exit 1 where a page or results.csv is stale
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import benchmark_tables
from benchmark_tables import short
from places import check_no_places

from convatlas.errors import UsageError
from convatlas.files import read_json, write_json, write_text
from convatlas.report.costs import draw_accuracy_vs_macs
from convatlas.report.protocol import values
from convatlas.report.tables import HEADERS, cells, csv_table
from convatlas.words import percent

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("network", "test %", "95 % interval", "validation %", "n", "parameters", "MACs", "train s")
RECIPE_FIELDS = ("epochs", "batch_size", "optimizer", "lr", "weight_decay", "schedule", "precision")


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Runs the command line on the checkout at `root` and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where something is stale")
    parser.add_argument("--from", dest="source", type=Path, help="a study's folder; its results are taken over first")
    wanted = parser.parse_args(arguments)
    if wanted.check and wanted.source:
        parser.error("--check changes nothing: leave --from out")
    try:
        if wanted.source:
            take_over(wanted.source, root / "results/demo")
        content = read_json(root / "results/demo/results.json")
        texts = pages(content, root=root)
    except UsageError as error:
        sys.exit(str(error))
    if wanted.check:
        return check({**texts, root / "results/demo/results.csv": csv_table(content["rows"])}, root=root)
    for path, text in texts.items():
        write_text(path, text)
    draw_accuracy_vs_macs(content["rows"], root / "docs/demo.png")
    return 0


def take_over(source: Path, target: Path) -> None:
    """Copies a study's result files. Exits where a run failed or a value holds a path of this machine."""
    content = read_json(source / "results.json")
    if content["failed"] or content["unfinished"]:
        sys.exit(f"{source} has failed or unfinished runs; go on with --resume first")
    check_no_places(content, source=source / "results.json")
    for commit in content["protocol"]["git_commit"]:
        if commit.endswith("-dirty"):
            print(f"note: {source} was made with uncommitted changes ({commit}); the README says so", file=sys.stderr)
    write_json(target / "results.json", content)
    write_text(target / "results.csv", csv_table(content["rows"]))


def check(expected: Mapping[Path, str], *, root: Path) -> int:
    """Returns 0 where every file has the expected text, else 1, and prints a line for each stale file."""
    stale = [path for path, text in expected.items() if path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(root)} is stale; run python docs/update_readme.py", file=sys.stderr)
    return 1 if stale else 0


def pages(content: dict[str, Any], *, root: Path) -> dict[Path, str]:
    """Returns each page that has generated parts, with these parts written anew."""
    example = (root / "examples/my_network.py").read_text(encoding="utf-8")
    network = example[example.index("def my_network") :]
    parts = {
        root / "README.md": {"demo": demo(content), "network": f"```python\n{network}```\n"},
        root / "docs/benchmarks.md": benchmark_tables.tables(root / "results/bench"),
    }
    return {path: filled(path, texts) for path, texts in parts.items()}


def filled(path: Path, parts: Mapping[str, str]) -> str:
    """Returns a page whose generated parts, between `<!-- NAME:begin -->` and `<!-- NAME:end -->`, are written anew."""
    page = path.read_text(encoding="utf-8")
    for name, text in parts.items():
        begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            sys.exit(f"{path.name} has no part between {begin.strip()} and {end}")
        page = f"{before}{begin}{text}{end}{after}"
    return page


def demo(content: dict[str, Any]) -> str:
    """Returns the result table and its circumstances: n, recipe, data, selection, hardware, versions, command."""
    rows, protocol = content["rows"], content["protocol"]
    shown = [HEADERS.index(column) for column in COLUMNS]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|:--" + "|--:" * (len(COLUMNS) - 1) + "|"]
    for row in rows:
        name, *numbers = [cells(row)[index] for index in shown]
        numbers[2] = percent(row["val_top1_mean"])  # results.csv has its deviation; here is no room for it
        unbroken = [number.replace(" ", "&nbsp;").replace("–", "&NoBreak;–&NoBreak;") for number in numbers]
        lines.append("| " + " | ".join([f"`{name}`", *unbroken]) + " |")
    if content["comparison"]:
        lines += ["", content["comparison"]["sentence"]]
    lines += ["", *(f"- {term}: {text}" for term, text in circumstances(rows, protocol).items()), ""]
    return "\n".join(lines)


def circumstances(rows: Sequence[dict[str, Any]], protocol: dict[str, Any]) -> dict[str, str]:
    """Returns the facts that a reader needs to judge the table and to repeat it: term -> text."""
    data, runs = protocol["data"], sum(row["n_seeds"] for row in rows)
    seconds = sum(run["train_seconds"] for row in rows for run in row["runs"])
    sizes = f"{data['train']:,} training, {data['validation']:,} validation and {data['test']:,} test images"
    shapes = " or ".join(" x ".join(map(str, shape)) for shape in protocol["image_shape"])
    machines = "; or ".join(map(values, protocol["hardware"]))
    commits = [f"commit {short(commit)}" for commit in protocol["git_commit"]]
    recipes = [
        f"`{name}` ({values({field: recipe[field] for field in RECIPE_FIELDS})}; all fields: results.json)"
        for name, recipe in protocol["recipes"].items()
    ]
    return {
        "n": f"seeds {', '.join(map(str, protocol['seeds']))}; mean ± standard deviation over them, and the interval "
        "of Student's t, cut at 100 %",
        "Data": f"`{data['name']}` ({data['source']}): {sizes}, split {data['split_hash']}; one test image "
        f"is {100 / data['test']:.2f} points. Parameters and MACs are counted for {shapes} (channels, height, width)",
        "Recipe": "; ".join(recipes),
        "Selection": "; ".join(protocol["selection"]) + "; the test set was evaluated once a run",
        "Hardware": f"{machines}; {seconds:.0f} s of training for all {runs} runs, and `train s` is the mean of one",
        "Versions": "; ".join([*map(values, protocol["versions"]), *commits]),
        "Command": "; ".join(f"`{command}`" for command in protocol["command"]),
    }


if __name__ == "__main__":
    sys.exit(main())
