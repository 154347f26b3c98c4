"""The figures of docs/few_labels_example.md: the study, twice as many steps, and the run that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from few_labels_words import BIASED, LONGER, METHODS, spread

from convatlas.drawing import COLOURS, INK, LEGEND, plain, save, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FAILS = {"few_supervised": "labels alone", BIASED: "believes every answer"}

Content = Mapping[str, Any]


def draw(content: Content, folder: Path) -> None:
    """Writes `study.png`, `longer.png` and `confirmation_bias.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_study(content, folder / "study.png")
    draw_longer(content, folder / "longer.png")
    draw_failure(content, folder / "confirmation_bias.png")


def draw_study(content: Content, path: Path) -> None:
    """Draws the accuracy on test of each method with its interval, and its way there on the validation images."""
    from matplotlib.figure import Figure

    style = styles(METHODS.values())
    figure = Figure(figsize=(9, 4.2), dpi=120, layout="constrained")
    dots, ways = figure.subplots(1, 2, width_ratios=(1, 1.25))
    for place, (member, title) in enumerate(METHODS.items()):
        colour, marker = style[title]
        mean, low, high = (100 * value for value in spread(content[member]["runs"]))
        look = {"color": colour, "marker": marker, "capsize": 4, "markersize": 7, "linewidth": 2}
        dots.errorbar(mean, -place, xerr=[[mean - low], [high - mean]], **look)
        dots.annotate(f"{mean:.1f}", (mean, -place), (0, 8), textcoords="offset points", ha="center", color=INK)
        course(ways, content[member]["runs"], "val_top1", color=colour, label=title)
    dots.set_yticks([-place for place in range(len(METHODS))], list(METHODS.values()), color=INK)
    dots.set_ylim(-len(METHODS) + 0.5, 0.6)
    fewest = min(len(content[member]["runs"]) for member in METHODS)
    dots.set_xlabel(f"test accuracy (%), 95 % interval; seeds: {fewest}", color=INK)
    ways.set_xlabel("steps", color=INK)
    ways.set_ylabel("validation accuracy (%), selects nothing", color=INK)
    ways.legend(loc="lower right", **LEGEND)
    for axes in (dots, ways):
        plain(axes)
    save(figure, path)


def draw_longer(content: Content, path: Path) -> None:
    """Draws the way of two methods on the validation images, with as many steps as the study and with twice as many."""
    from matplotlib.figure import Figure

    style = styles(METHODS.values())
    figure = Figure(figsize=(9, 3.8), dpi=120, layout="constrained")
    axes = figure.subplots()
    for method in ("supervised", "meta_pseudo_labels"):
        for start, dashes in (("", (0, (4, 2))), (LONGER, "solid")):
            runs = content[start + method]["runs"]
            label = f"{method}, {runs[0]['recipe']['steps']:,} steps"
            course(axes, runs, "val_top1", color=style[method][0], linestyle=dashes, label=label)
    axes.set_xlabel("steps", color=INK)
    axes.set_ylabel("validation accuracy (%), selects nothing", color=INK)
    axes.legend(loc="lower right", **LEGEND)
    plain(axes)
    save(figure, path)


def draw_failure(content: Content, path: Path) -> None:
    """Draws accuracy and losses of the run that fails, beside labels alone."""
    from matplotlib.figure import Figure

    style = {"labels alone": styles(METHODS.values())["supervised"][0], "believes every answer": COLOURS[-1]}
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    for member, title in FAILS.items():
        colour = style[title]
        course(accuracy, content[member]["runs"], "val_top1", color=colour, label=title)
        course(loss, content[member]["runs"], "val_loss", scale=1, color=colour)
    runs, look = content[BIASED]["runs"], {"color": colour, "linestyle": (0, (4, 2))}
    course(loss, runs, "train_unlabelled_loss", scale=1, label=f"{title}: loss of its own labels", **look)
    accuracy.set_ylabel("validation accuracy (%), selects nothing", color=INK)
    accuracy.set_ylim(0, 50)
    loss.set_ylabel("validation loss (cross entropy, nats)", color=INK)
    loss.set_ylim(bottom=0)
    lines = [line for axes in (accuracy, loss) for line in axes.get_legend_handles_labels()[0]]
    figure.legend(handles=lines, loc="outside lower center", ncols=3, **LEGEND)
    for axes in (accuracy, loss):
        axes.set_xlabel("steps", color=INK)
        plain(axes)
    save(figure, path)


def course(axes: Axes, runs: Sequence[Content], name: str, *, scale: float = 100, **look: Any) -> None:
    """Draws the mean of a measure over the runs against their steps."""
    columns = [run["course"][name] for run in runs]
    heights = [scale * sum(each) / len(each) for each in zip(*columns, strict=True)]
    every = runs[0]["recipe"]["epoch_steps"]
    axes.plot([every * (epoch + 1) for epoch in range(len(heights))], heights, linewidth=2, **look)
