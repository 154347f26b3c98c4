"""Writes docs/skip_connections.md and its figures from results/skip_connections/, so that no number is typed by hand.

python docs/write_skip_connections.py                        rewrite the page and its figures
python docs/write_skip_connections.py --gradients DATA_DIR   measure the gradients on CIFAR-10 first (minutes)
python docs/write_skip_connections.py --from DIR             take over the results of `degradation` or `landscape` first
python docs/write_skip_connections.py --check                change nothing; exit 1 where the page is stale
"""

from __future__ import annotations

import argparse
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_tables import short
from few_labels_words import plain_command
from page_script import finish
from places import check_no_places, without_places

from convatlas.errors import UsageError
from convatlas.files import read_json, write_json
from convatlas.insight.degradation import MEASURES
from convatlas.insight.degradation_figure import draw_degradation
from convatlas.insight.gradient_figure import draw_gradients
from convatlas.insight.gradients import Layer, Signals
from convatlas.insight.landscape.page import caption
from convatlas.insight.landscape.page import protocol as landscape_protocol
from convatlas.insight.landscape.pictures import draw as draw_landscape
from convatlas.insight.landscape.points import ARRAYS, Points
from convatlas.insight.landscape.scale import Scale
from convatlas.report.protocol import in_words, values
from convatlas.run import this_session
from convatlas.words import finite, percent

ROOT = Path(__file__).resolve().parent.parent
NORMS = ("own", "none")
DEPTHS = ("20(depths=1,1,1)", "20(depths=2,2,2)", "20", "32", "44", "56", "110")
NETWORKS = tuple(f"{kind}{depth}" for kind in ("plain", "resnet") for depth in DEPTHS)
IMAGES = 128
SOURCES = {  # file: the command that makes it
    **dict.fromkeys(
        (f"gradients_{norm}.json" for norm in NORMS), "python docs/write_skip_connections.py --gradients DATA_DIR"
    ),
    "degradation.json": "convatlas degradation RUN... --out DIR, then python docs/write_skip_connections.py --from DIR",
    "landscape.json": "convatlas landscape RUN... --out DIR, then python docs/write_skip_connections.py --from DIR",
}
TAKEN = ("degradation.json", "landscape.json")
GUESSING = float(np.log(10))  # the loss of equal probabilities for ten classes


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Runs the command line on the checkout at `root` and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where the page is stale")
    parser.add_argument("--from", dest="sources", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--gradients", type=Path, metavar="DATA_DIR", help="the folder of CIFAR-10")
    wanted = parser.parse_args(arguments)
    if wanted.check and (wanted.sources or wanted.gradients):
        parser.error("--check changes nothing: leave --from and --gradients out")
    results, target = root / "results/skip_connections", root / "docs/skip_connections.md"
    try:
        for source in wanted.sources:
            take_over(source, results)
        if wanted.gradients:
            measure_gradients(wanted.gradients, results)
        contents = read_results(results)
        text = page(contents)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return finish(
        text,
        target,
        script="write_skip_connections.py",
        check=wanted.check,
        draw=lambda: draw(contents, root / "docs/skip_connections"),
    )


def read_results(results: Path) -> dict[str, dict[str, Any]]:
    """Returns the results by the names of their files without endings. Raises `UsageError` where one is missing."""
    for file, command in SOURCES.items():
        if not (results / file).is_file():
            raise UsageError(
                f"results/skip_connections/{file} is missing, and no page is written without it: {command}"
            )
    return {Path(file).stem: read_json(results / file) for file in SOURCES}


def take_over(source: Path, results: Path) -> None:
    """Copies the results of `degradation` and `landscape` in a folder, without the places of this machine.

    Raises `UsageError` for a folder without results, for runs that were left out, and for a place that remains.
    """
    found = [file for file in TAKEN if (source / file).is_file()]
    if not found:
        raise UsageError(f"{source} holds neither {' nor '.join(TAKEN)}; give the folder of convatlas degradation")
    for file in found:
        content = without_places(read_json(source / file))
        content.pop("figure", None)
        if content.get("left_out"):
            raise UsageError(f"{source / file} leaves runs out: {content['left_out'][0]}; go on with --resume first")
        check_no_places(content, source=source / file)
        write_json(results / file, content)


def measure_gradients(data_dir: Path, results: Path) -> None:
    """Measures all networks with their norms and without, and writes a file for each."""
    from convatlas.data import load_data
    from convatlas.insight.gradient_choices import choices
    from convatlas.insight.gradients import Batch, measured

    batch = Batch.draw(load_data("cifar10", folder=data_dir), images=IMAGES, seed=0)
    for norm in NORMS:
        wanted = choices(NETWORKS, norms=[norm], initialisations=["own"], options={})
        found = [signals for choice in wanted for signals in measured(choice, batch)]
        session = asdict(this_session())
        networks = " ".join(shlex.quote(name) for name in NETWORKS)
        session["command"] = f"convatlas gradients {networks} --norm {norm} --data cifar10 --images {IMAGES}"
        content = {
            "data": batch.data.spec.name,
            "notes": list(batch.data.notes),
            "images": IMAGES,
            "seed": batch.seed,
            "networks": [asdict(signals) for signals in found],
            "session": session,
        }
        write_json(results / f"gradients_{norm}.json", finite(content))


def draw(contents: Mapping[str, dict[str, Any]], folder: Path) -> None:
    """Writes the figures of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for norm in NORMS:
        content = contents[f"gradients_{norm}"]
        found = [signals_of(network) for network in content["networks"]]
        draw_gradients(found, folder / f"gradients_{norm}.png", data=content["data"], images=content["images"])
    draw_degradation(contents["degradation"], folder / "degradation.png")
    draw_landscape(*surfaces_of(contents["landscape"]), folder)


def signals_of(network: Mapping[str, Any]) -> Signals:
    """Returns the signals of a network from plain data; a value that is not finite was not kept."""
    layers = [
        {key: float("nan") if value is None else value for key, value in each.items()} for each in network["layers"]
    ]
    return Signals(network["name"], tuple(Layer(**each) for each in layers), network["loss"])


def surfaces_of(content: Mapping[str, Any]) -> tuple[Points, list[dict[str, Any]], Scale]:
    """Returns points, facts and scale of the loss surfaces; a loss that was not kept is infinite."""
    surfaces = content["surfaces"]
    arrays = {name: np.array([surface[name] for surface in surfaces], dtype=float) for name in ARRAYS}
    arrays = {name: np.where(np.isnan(array), np.inf, array) for name, array in arrays.items()}
    scale = Scale(**{**content["scale"], "levels": tuple(content["scale"]["levels"])})
    return Points(content, **arrays), surfaces, scale


def page(contents: Mapping[str, dict[str, Any]]) -> str:
    """Returns the page as Markdown."""
    parts = [
        HEADER,
        gradients_with_norms(contents["gradients_own"]),
        gradients_without_norms(contents["gradients_none"]),
        degradation(contents["degradation"]),
        landscape(contents["landscape"]),
        FOOTER,
    ]
    return "\n".join(parts)


HEADER = """# Why skip connections

<!-- python docs/write_skip_connections.py writes this page from results/skip_connections -->

A network with more layers can do whatever a network with fewer layers can: the layers that are too many need only pass
their input on. Yet from some depth on, more layers made networks worse, on the training images too. He, Zhang, Ren and
Sun ([2015](https://arxiv.org/abs/1512.03385)) call this degradation. Their answer is the skip connection: two layers
compute a change, and the input of the two layers is added to it. If nothing is to be changed, the layers need only
learn zero.

This page looks at that with the networks of the paper's section 4.2 on CIFAR-10. `resnet20` to `resnet110` have skip
connections; `plain20` to `plain110` are the same networks without them. The skip connections of these networks have no
weights, so that both have equally many. Networks of 8 and 14 layers follow the same rule, 6n + 2 layers; the paper has
none of them.
"""

FOOTER = """## What these figures do not show

- They are of one family of networks on one set of small images.
- Gradients at the start say that training is hard or easy to begin. They say nothing about its end.
- He et al. (section 4.1) argue that vanishing gradients are not the reason for degradation, because batch norm keeps
  them healthy. The figures above are of other networks than theirs in that section, at the start alone; they do not
  decide the question.
- The loss surface shows two directions of very many. The two networks of the surfaces are not equally well trained (see
  the losses at the centre), and a part of the difference may come from that.

Every number of ours and every figure on this page is made by `docs/write_skip_connections.py` from
`results/skip_connections`. [insight.md](insight.md) describes the three commands.
"""


def gradients_with_norms(content: Mapping[str, Any]) -> str:
    """Returns the section about gradients at the start of training, with batch norm."""
    first = ratio_rows(content)
    return f"""## Before training: the gradients

![Gradients and values by layer, 8 to 110 layers, with batch norm](skip_connections/gradients_own.png)

The left panels show for each layer the norm of the loss's gradient with respect to the layer's weights, before the
first step of training. Each line is a network; the axis is logarithmic. A straight line that falls to the right means
that going back towards the image, every layer multiplies the gradient by the same factor.

{first}

The table has the gradient of the first convolution as a multiple of that of the last one: by so much it grows or
shrinks on its way back. The two have different numbers of weights, so compare the networks and not the number with 1.
{growth_said(content)}

Batch norm brings the values to one size in each layer, which the right panels show for the plain networks. In the
residual ones the first layer of a block receives the sum, which grows, and the second one the values after a norm: the
zigzag. Batch norm does not do the same for the gradients: Yang et al. ([2019](https://arxiv.org/abs/1902.08129)) show
that batch norm makes them grow by a factor in each layer where there are no skip connections. Over the skip connections
the gradient passes only the ReLUs.

{circumstances(content)}
"""


def gradients_without_norms(content: Mapping[str, Any]) -> str:
    """Returns the section about gradients at the start of training, without batch norm."""
    return f"""## The same without batch norm

![The same networks without batch norm](skip_connections/gradients_none.png)

{ratio_rows(content)}

{growth_said(content)}

The initial weights of He et al. ([2015](https://arxiv.org/abs/1502.01852)) keep the mean square of a plain network's
values at one size, as a mean over many draws of the weights. A single draw drifts away from it, the farther the deeper
the network is: {spread_said(content)}.
With skip connections the values add up: each block adds about as much as it receives, so that the values grow with
every block (right panels), and with them the gradients of all layers. The loss at the start shows it:
{losses_said(content)}.
A norm in each block takes this growth back.

{circumstances(content)}
"""


def ratio_rows(content: Mapping[str, Any]) -> str:
    """Returns the table of the first convolution's gradient as a multiple of the last one's, by number of layers."""
    found = {signals.name: signals for signals in map(signals_of, content["networks"])}
    rows = ["| layers | plain | residual |", "|--:|--:|--:|"]
    for plain in (signals for name, signals in found.items() if name.startswith("plain")):
        residual = found[plain.name.replace("plain", "resnet", 1)]
        cells = (f"{ratio(signals):,.2g}" for signals in (plain, residual))
        rows.append(f"| {len(plain.layers)} | {' | '.join(map(without_exponent, cells))} |")
    return "\n".join(rows)


def ratio(signals: Signals) -> float:
    """Returns the gradient norm of the first convolution over that of the last one, behind which is the classifier."""
    return signals.layers[0].gradient_norm / signals.layers[-2].gradient_norm


def without_exponent(text: str) -> str:
    """Returns a number without an exponent.

    >>> without_exponent("1.4e+06"), without_exponent("0.087")
    ('1,400,000', '0.087')
    """
    return f"{float(text):,.0f}" if "e+" in text else text


def growth_said(content: Mapping[str, Any]) -> str:
    """Returns the sentence about the deepest networks of both kinds."""
    found = {signals.name.partition(",")[0]: signals for signals in map(signals_of, content["networks"])}
    ratios = [without_exponent(f"{ratio(found[name]):,.2g}") for name in ("plain110", "resnet110")]
    return f"With 110 layers this multiple is {ratios[0]} in the plain network and {ratios[1]} in the residual one."


def spread_said(content: Mapping[str, Any]) -> str:
    """Returns the spread of the values at the first and at the last convolution of the deepest plain network."""
    found = {signals.name.partition(",")[0]: signals for signals in map(signals_of, content["networks"])}
    first, last = (found["plain110"].layers[place].activation_std for place in (0, -2))
    return f"in `plain110` their deviation goes from {first:.2g} to {last:.2g}"


def losses_said(content: Mapping[str, Any]) -> str:
    """Returns the losses of the deepest networks at the start."""
    found = {network["name"].partition(",")[0]: network["loss"] for network in content["networks"]}
    losses = [
        f"{value:.2f}" if value < 100 else without_exponent(f"{value:.3g}")
        for value in (found["plain110"], found["resnet110"])
    ]
    return f"{losses[0]} in `plain110` and {losses[1]} in `resnet110`, where equal probabilities have {GUESSING:.2f}"


def circumstances(content: Mapping[str, Any]) -> str:
    """Returns the facts that a reader needs to repeat a measurement of gradients."""
    session = content["session"]
    notes = "".join(f" Note: {note}." for note in content["notes"])
    return "\n".join(
        [
            f"- Data: one batch of {content['images']} training images of `{content['data']}`, not augmented.{notes}",
            f"- n: one draw of the weights and of the batch, seed {content['seed']}",
            f"- Hardware: {values(session['hardware'])}",
            f"- Versions: {values(session['versions'])}; commit {short(session['git_commit'] or 'unknown')}",
            f"- Command: `{session['command']}`",
        ]
    )


def degradation(content: Mapping[str, Any]) -> str:
    """Returns the section about the errors by depth."""
    terms = {term.name: term.text for term in in_words(content["protocol"])}
    kept = [
        name for name in terms if name.split()[0] in ("Data", "Selection", "Recipe", "Hardware", "Versions", "Notes")
    ]
    facts = "\n".join(f"- {name}: {terms[name]}" for name in kept)
    commands = "\n".join(map(plain_command, content["protocol"]["command"]))
    return f"""## Training: degradation

![Errors by epoch, plain networks left, residual networks right](skip_connections/degradation.png)

Thin lines are the error on the training images, bold lines the error on the validation images, diamonds the error on
the test images, which are evaluated once. The training error is the mean over an epoch's augmented images while the
weights change, so it can be above the validation error.

{error_rows(content)}

{textwrap.fill(taken_away(content), 118)}

{textwrap.fill(content["verdict"], 118)}

{facts}

```sh
{commands}
convatlas degradation RUN... --out DIR
```
"""


def taken_away(content: Mapping[str, Any]) -> str:
    """Returns the sentences on how much of the harm of depth the skip connections take away, and on longer training."""
    plain, residual = (_training_points(content, kind) for kind in ("plain", "resnet"))
    most = f"Depth adds {plain:.2f} points to the training error of the plain networks"
    if plain > 0:
        part = f"{100 * (plain - residual) / plain:.0f}\xa0% less"
        most += f" and {residual:.2f} to that of the residual ones, which is {part}"
    return (
        f"{most}. This is no overfitting: the deeper network is worse on the very images that it learns from. In the "
        "paper's full training `resnet56` ends below `resnet20` (errors of 6.97 and 8.75 % on test, table 6). These "
        "runs are too short to show that."
    )


def _training_points(content: Mapping[str, Any], kind: str) -> float:
    """Returns what depth adds to the training error of a kind, in points."""
    return sum(100 * effect["training"]["mean"] for effect in content["effects"] if effect["kind"] == kind)


def error_rows(content: Mapping[str, Any]) -> str:
    """Returns the table of the errors in percent, and of what depth changes in points."""
    rows = [
        "| network | layers | n | training error % | validation error % | test error % |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    for network in content["networks"]:
        errors = []
        for measure in MEASURES:
            found = network[measure]
            errors.append(percent(found["mean"]) + ("" if found["std"] is None else f" ± {percent(found['std'])}"))
        cells = [f"`{network['name']}`", str(network["layers"]), str(len(network["seeds"])), *errors]
        rows.append(f"| {' | '.join(cells)} |")
    for effect in content["effects"]:
        points = []
        for measure in MEASURES:
            found = effect[measure]
            ends = "" if not found["ci95"] else f" ({' to '.join(f'{100 * end:+.2f}' for end in found['ci95'])})"
            points.append("-" if found["mean"] is None else f"{100 * found['mean']:+.2f}{ends}")
        layers = " to ".join(map(str, effect["layers"]))
        rows.append(
            f"| {effect['kind']}: what depth adds, in points | {layers} | {effect['seeds']} | {' | '.join(points)} |"
        )
    return "\n".join(rows)


def valleys(loss: np.ndarray) -> int:
    """Returns the number of points of a grid (rows, columns) whose loss is below that of all their neighbours."""
    rows, columns = loss.shape
    padded = np.pad(loss, 1, constant_values=np.inf)
    shifts = [(row, column) for row in range(3) for column in range(3) if (row, column) != (1, 1)]
    around = [padded[row : row + rows, column : column + columns] for row, column in shifts]
    return int((loss < np.min(around, axis=0)).sum())


def landscape(content: Mapping[str, Any]) -> str:
    """Returns the section about the loss surfaces."""
    points, surfaces, scale = surfaces_of(content)
    rows = [
        "| network | loss at the centre | error there % | grid points below the loss of guessing % | valleys | "
        "highest loss |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    for number, surface in enumerate(surfaces):
        below = float((points.loss[number] < GUESSING).mean())
        highest = "not finite" if surface["highest"] is None else f"{surface['highest']:,.3g}"
        centre = surface["centre"]
        cells = [f"`{surface['name']}`", f"{centre['loss']:.4f}", percent(centre["error"]), percent(below)]
        rows.append(f"| {' | '.join([*cells, str(valleys(points.loss[number])), highest])} |")
    session = content["session"]
    lines = "\n".join(f"- {line}" for line in landscape_protocol(content, scale))
    table = "\n".join(rows)
    return f"""## After training: the loss around the weights

![Contours and views of the loss around the trained weights of both networks](skip_connections/landscape.png)

{textwrap.fill(caption(content), 118)}

{table}

Guessing all ten classes alike has a loss of {GUESSING:.2f}. The larger the part of the grid below it, the wider is the
region of useful weights in these two directions. A valley is a point of the grid whose loss is lower than that of all
its neighbours. A surface with one valley is a bowl; between several valleys lie ridges. Li et al.
([2018](https://arxiv.org/abs/1712.09913)) show the same of networks of 56 and 110 layers, trained in full.

{lines}
- Grid: {points.loss.shape[1]} x {points.loss.shape[2]} points; n: one run of each network
- Hardware: {values(session["hardware"])}
- Versions: {values(session["versions"])}; commit {short(session["git_commit"] or "unknown")}
- Command: `{session["command"]}`
"""


if __name__ == "__main__":
    sys.exit(main())
