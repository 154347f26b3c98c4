"""Writes docs/transfer_example.md and its figures from results/transfer/, so that no number is typed by hand.

python docs/write_transfer.py                  rewrite the page and its figures
python docs/write_transfer.py --from FOLDER    take over the studies of bench/transfer.sh first: lite0, six, four, many
python docs/write_transfer.py --check          change nothing; exit 1 where the page is stale
"""

from __future__ import annotations

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
from convatlas.report.protocol import values
from convatlas.report.transfer_figures import draw_transfer
from convatlas.report.transfer_tables import markdown_table
from convatlas.run import read_run
from convatlas.words import percent

ROOT = Path(__file__).resolve().parent.parent
STUDIES = ("lite0", "four", "many")
BASE = "six"  # the run from which `four` starts
COSTS = ("probe", "frozen_step")  # of results/bench
KEPT = ("recipe", "seed", "data", "versions", "git_commit", "hardware", "command", "results")

Content = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Runs the command line on the checkout at `root` and returns its exit code."""

    def made() -> tuple[str, Callable[[], None]]:
        contents = {name: read_json(root / f"results/transfer/{name}.json") for name in (*STUDIES, BASE)}
        contents |= {name: read_json(root / f"results/bench/{name}.json") for name in COSTS}
        return page(contents), lambda: draw(contents, root / "docs/transfer")

    return run(
        __doc__,
        arguments,
        root / "docs/transfer_example.md",
        script="write_transfer.py",
        source="the studies to take over first",
        take_over=lambda folder: take_over(folder, root=root),
        made=made,
    )


def take_over(source: Path, *, root: Path) -> None:
    """Copies the results of the studies and of the base run, without the places of this machine.

    Raises `UsageError` where a run failed or is unfinished, and for a place that remains.
    """
    for name in STUDIES:
        content = without_places(read_json(source / name / "results.json"))
        if content["failed"] or content["unfinished"]:
            raise UsageError(f"{source / name} has failed or unfinished runs; go on with --resume first")
        check_no_places(content, source=source / name)
        write_json(root / f"results/transfer/{name}.json", content)
    record = read_run(source / BASE).record.content()
    kept = without_places({name: record[name] for name in KEPT})
    check_no_places(kept, source=source / BASE)
    write_json(root / f"results/transfer/{BASE}.json", kept)
    (root / "docs/transfer").mkdir(exist_ok=True)
    shutil.copy(source / "lite0/shots.png", root / "docs/transfer/shots.png")


def draw(contents: Mapping[str, Content], folder: Path) -> None:
    """Writes the figures of the page: all methods at 5 shots, and the methods that were run at several numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("lite0", "four"):
        rows = five(contents[name])
        title = f"{contents[name]['base']['network']} on {contents[name]['data']['name']}"
        draw_transfer(rows, folder / f"{name}.png", methods=[row["method"] for row in rows], title=title)
    rows = curve(contents["lite0"])
    methods = list(dict.fromkeys(row["method"] for row in rows))
    draw_transfer(rows, folder / "curve.png", methods=methods, title="Frozen features against shots")


def five(content: Content) -> list[Content]:
    """Returns the rows of 5 shots."""
    return [row for row in content["rows"] if row["shots"] == "5"]


def curve(content: Content) -> list[Content]:
    """Returns the rows of the methods that have more than one number of shots."""
    several = {row["method"] for row in content["rows"] if row["shots"] != "5"}
    return [row for row in content["rows"] if row["method"] in several]


def page(contents: Mapping[str, Content]) -> str:
    """Returns the page as Markdown."""
    lite0, four, many, six = (contents[name] for name in (*STUDIES, BASE))
    parts = [from_imagenet(lite0), more_shots(lite0), from_six(four, six), many_images(many)]
    return "\n".join([HEADER, *parts, costs(contents["probe"], contents["frozen_step"]), FOOTER])


HEADER = """# Few images of CIFAR-10: an example

<!-- python docs/write_transfer.py writes this page from results/transfer -->

How far do five labelled images of each class lead? This page answers for CIFAR-10 with the runs of `bench/transfer.sh`,
which repeats all of them. [transfer.md](transfer.md) says what each method does.

The images of this copy of CIFAR-10 were compressed again as JPEG. Compare the numbers with each other, and not with
published ones. All accuracies are of the same 2,000 test images, and nothing was selected: each training keeps its last
epoch, and no validation images are used.

![Ten training images of each class](transfer/shots.png)

With 5 shots, a training of draw 0 has the images of the first five columns, and no others.
"""

FOOTER = """## What these numbers do not show

- The methods see images of different sizes, because a processor with two cores allows no more. The table's names say
  the sizes. A difference between two methods is also one of sizes.
- The interval is that of the draws: which images of the class one happens to have. It is not that of other data sets.
- The recipes were not searched for these data, except the linear probe's (see [transfer.md](transfer.md)).

Every number and figure on this page is made by `docs/write_transfer.py` from `results/transfer`.
"""


def from_imagenet(content: Content) -> str:
    """Returns the section about the network with ImageNet's weights."""
    rows = {row["method"]: row for row in five(content)}
    probe = next(row for name, row in rows.items() if name.startswith("head_only"))
    scratch = best(rows, "scratch")
    apart = probe["test_top1_ci95"][0] > scratch["test_top1_ci95"][1]
    said = (
        f"The linear probe on frozen features reaches {interval(probe)} with 50 images. The best network that was "
        f"trained on them from the start, `{scratch['method']}`, reaches {interval(scratch)}: "
        f"{points(probe, scratch)} points less. The two intervals {'do not overlap' if apart else 'overlap'}."
    )
    return section("5 images of each class, from ImageNet", content, rows=five(content), said=said, figure="lite0")


def more_shots(content: Content) -> str:
    """Returns the section about frozen features at several numbers of shots."""
    rows = curve(content)
    said = (
        "The features of an image are computed once. So a study of all shots and draws costs one pass over the images, "
        "and the rest is seconds."
    )
    return (
        "## The same features with more images, and with fewer\n\n"
        "![Accuracy against the number of images of each class](transfer/curve.png)\n\n"
        f"{textwrap.fill(said, 118)}\n\n{markdown_table(rows)}"
    )


def from_six(content: Content, base: Content) -> str:
    """Returns the section about the BiT network, from six classes to the other four."""
    rows = {row["method"]: row for row in five(content)}
    data, learned = base["data"], percent(base["results"]["test_top1"])
    scratch = best(rows, "scratch")
    transferred = max((row for name, row in rows.items() if "scratch" not in name), key=mean)
    rule = next(row for name, row in rows.items() if name.startswith("bit_hyperrule"))
    apart = rule["test_top1_ci95"][0] > scratch["test_top1_ci95"][1]
    said = (
        f"A small BiT network (`bit_resnet26_cifar`) learned six classes of CIFAR-10 from {data['train']:,} images "
        f"({base['recipe']['name']}; {learned} % on their {data['test']:,} test images; one seed). It never saw the "
        f"other four classes. With 5 images of each of these, `{transferred['method']}` reaches "
        f"{interval(transferred)}, and BiT-HyperRule, at 32 pixels and with batches of 64 instead of 512, reaches "
        f"{interval(rule)}. From the start, `{scratch['method']}` reaches {interval(scratch)}. The intervals of the "
        f"rule and of training from the start {'do not overlap' if apart else 'overlap'}. Guessing reaches 25 %."
    )
    text = section("From six classes to the other four", content, rows=five(content), said=said, figure="four")
    return f"{text}- The base: `{base['command']}`, seed {base['seed']}; {facts(base)}\n"


def many_images(content: Content) -> str:
    """Returns the section about 500 images of each class."""
    rows = {row["method"]: row for row in content["rows"]}
    full, scratch = best(rows, "full"), best(rows, "scratch")
    said = (
        f"With {full['train_images']:,} images, training all of EfficientNet-Lite0 from ImageNet's weights at "
        f"{full['image_size']} pixels reaches {percent(mean(full))} %. The best training from the start, "
        f"`{scratch['method']}`, reaches {percent(mean(scratch))} %: {points(full, scratch)} points "
        f"{'less' if mean(full) > mean(scratch) else 'more'}. This is one draw and one seed, so there is no interval "
        "over draws."
    )
    return section("500 images of each class", content, rows=content["rows"], said=said)


def costs(probe: Content, frozen: Content) -> str:
    """Returns the section about the time of frozen features."""
    said = (
        f"A linear probe on {probe['n']['train']:,} images of {probe['image_size']} pixels, with all files of its run, "
        f"takes {ratio(probe, 'pass')} the time of one pass of the images through EfficientNet-Lite0. A training "
        f"step whose body is frozen takes {ratio(frozen, 'full')} the time of a full one (batches of "
        f"{frozen['batch_size']} at {frozen['image_size']} pixels). Both alternated in one process with the work that "
        "they are compared with; other trainings ran on the same machine."
    )
    lines = [f"- `{each['command']}`; {facts(each)}; load {each['load']:.1f}" for each in (probe, frozen)]
    return "\n\n".join(["## What it costs", textwrap.fill(said, 118), "\n".join(lines)]) + "\n"


def ratio(measured: Content, beside: str) -> str:
    """Returns the median ratio to another work, with its smallest and largest value."""
    found, rounds = measured["ratio"], len(measured["seconds"][beside])
    return f"{found['median']:.2f} times ({found['min']:.2f} to {found['max']:.2f} in {rounds} rounds)"


def section(title: str, content: Content, *, rows: Sequence[Content], said: str, figure: str = "") -> str:
    """Returns a section: its figure, what it says, the table, the paired differences and the circumstances."""
    picture = f"![Accuracy of each method with 5 images of each class](transfer/{figure}.png)\n\n" if figure else ""
    compared = [each["sentence"] for each in content["comparisons"] if each["shots"] == rows[0]["shots"]]
    made = content["circumstances"]
    seeds = sorted({draw["seed"] for row in rows for draw in row["draws"] if draw["seed"] is not None})
    data = content["data"]
    lines = [
        f"- Data: `{data['name']}`, split {data['split_hash']}; seeds {', '.join(map(str, seeds))}",
        f"- {content['protocol'][-1]}",
        *(f"- Hardware: {values(each)}" for each in made["hardware"]),
        *(f"- Versions: {values(each)}" for each in made["versions"]),
        f"- Commits: {', '.join(map(short, made['git_commit']))}",
        *(f"- Command: `{command}`" for command in made["command"]),
    ]
    compared = [textwrap.fill(sentence, 118, break_on_hyphens=False) for sentence in compared]
    parts = [f"## {title}", f"{picture}{textwrap.fill(said, 118)}", markdown_table(rows).rstrip(), *compared]
    return "\n\n".join([*parts, "\n".join(lines)]) + "\n"


def facts(record: Content) -> str:
    """Returns the machine, the versions and the commit of a run."""
    return f"{values(record['hardware'])}; {values(record['versions'])}; commit {short(record['git_commit'])}"


def best(rows: Mapping[str, Content], kind: str) -> Content:
    """Returns the row of the highest mean among the methods whose names begin so."""
    return max((row for name, row in rows.items() if name.startswith(kind)), key=mean)


def mean(row: Content) -> float:
    """Returns the mean accuracy of a row, as a fraction."""
    return float(row["test_top1_mean"])


def points(one: Content, other: Content) -> str:
    """Returns how far two means are apart, in points."""
    return f"{100 * abs(mean(one) - mean(other)):.1f}"


def interval(row: Content) -> str:
    """Returns a mean with its 95 % interval, in percent."""
    low, high = row["test_top1_ci95"]
    return f"{percent(mean(row))} % (95 % interval {percent(low)} to {percent(high)} %)"


if __name__ == "__main__":
    sys.exit(main())
