"""The text of docs/skip_connections.md, made from results/skip_connections/.

The numbers come from the results. The sentences say what these results show: read them again after new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from benchmark_tables import short
from page_script import item_of, plain_command, wrapped

from convatlas.insight.degradation import MEASURES
from convatlas.insight.gradients import Layer, Signals
from convatlas.insight.landscape.page import caption
from convatlas.insight.landscape.page import protocol as landscape_protocol
from convatlas.insight.landscape.points import ARRAYS, Points
from convatlas.insight.landscape.scale import Scale
from convatlas.report.protocol import in_words, values
from convatlas.words import percent

DEPTHS = ("20(depths=1,1,1)", "20(depths=2,2,2)", "20", "32", "44", "56", "110")
NETWORKS = tuple(f"{kind}{depth}" for kind in ("plain", "resnet") for depth in DEPTHS)
DEEPEST = DEPTHS[-1]
GUESSING = float(np.log(10))  # the loss of equal probabilities for ten classes

Content = Mapping[str, Any]

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

Three words: a *block* is two convolutions, and in a residual network a skip connection leads around it. *Batch norm*
brings each channel to the mean 0 and the standard deviation 1 over a batch of images; then the network may learn
another mean and deviation. The *values* of a layer are the numbers that it receives.
"""

FOOTER = """## What these figures do not show

- They are of one family of networks on one set of small images, with one seed of each.
- Gradients before training do not say how training goes on. With batch norm a large gradient may be harmless.
- He et al. (section 4.1) argue that vanishing gradients are not the reason for degradation, because batch norm keeps
  them healthy. The figures above are of other networks than theirs in that section, at the start alone; they do not
  decide the question.
- Twelve epochs are a short training. The loss surfaces show two directions of very many.

`docs/write_skip_connections.py` makes every figure of this page, and every number that is ours, from
`results/skip_connections`; each training has its record and its course there. [insight.md](insight.md) describes the
three commands.
"""


def page(contents: Mapping[str, Content]) -> str:
    """Returns the page as Markdown."""
    parts = [
        HEADER,
        seen(contents),
        gradients_with_norms(contents),
        gradients_without_norms(contents),
        degradation(contents["degradation"]),
        landscape(contents["landscape"]),
        FOOTER,
    ]
    return "\n".join(parts)


def seen(contents: Mapping[str, Content]) -> str:
    """Returns the answers in short."""
    plain, residual = (number(ratio(network)) for network in deepest(contents["gradients_own"]))
    values_of = [largest(deepest(contents[f"gradients_{norm}"])[1]) for norm in ("own", "none")]
    changes = ", ".join(map(change_said, contents["degradation"]["effects"]))
    points, surfaces, _ = surfaces_of(contents["landscape"])
    found = ", ".join(
        f"`{surface['name']}` {valleys(loss)}" for loss, surface in zip(points.loss, surfaces, strict=True)
    )
    items = [
        f"**Gradients.** With batch norm, the gradient of the first convolution of the plain network of {DEEPEST} "
        f"layers is {plain} times that of the last one before training; with skip connections {residual} times.",
        f"**Training.** After {contents['degradation']['epochs']} epochs the error on the training images has "
        f"changed with the depth: {changes}.",
        f"**Loss.** Valleys of the loss around the trained weights, on a grid in two directions: {found}. The two "
        "networks are not equally well trained, and some of the valleys are shallow.",
        f"**Without batch norm.** Before training, the values of the residual network of {DEEPEST} layers have a "
        f"standard deviation of up to {number(values_of[1])}; with batch norm of up to {number(values_of[0])}. No "
        "network was trained without it.",
    ]
    return "What we see:\n\n" + "\n".join(map(item_of, items)) + "\n"


# ------------------------------------------------------------------------------------------------------ the gradients


def gradients_with_norms(contents: Mapping[str, Content]) -> str:
    """Returns the section about gradients at the start of training, with batch norm."""
    content = contents["gradients_own"]
    return f"""## Before training, with batch norm

![Gradients and values by layer, plain and residual networks, with batch norm](skip_connections/gradients_own.png)

The left panels show for each layer the length (norm) of the loss's gradient with respect to the layer's weights, before
the first step of training. Each line is a network; the axis is logarithmic. A straight line that falls to the right
means that on the way back to the image every layer multiplies the gradient by the same factor. The last point of a line
is the classifier.

{ratio_table(content)}

The table has the gradient of the first convolution; the two columns on the left divide it by that of the last
convolution. (The command below divides by the gradient of the classifier.) Each number is of one draw of the weights:
that two neighbours differ twofold says nothing.

Batch norm holds the values at one size in the plain networks (right panels). In the residual ones the first convolution
of a block receives the sum, which grows, and the second one receives values after batch norm and ReLU, which do not. So
the line jumps up and down. Batch norm does not keep the gradients at one size. Yang et al.
([2019](https://arxiv.org/abs/1902.08129)) show for wide, fully connected networks without skip connections that batch
norm itself makes gradients grow by a factor in each layer, and that their range becomes much smaller after a single
step of training. A skip connection leads the gradient around the batch norms of a block.

{circumstances(content)}
"""


def gradients_without_norms(contents: Mapping[str, Content]) -> str:
    """Returns the section about gradients at the start of training, without batch norm."""
    content = contents["gradients_none"]
    plain, residual = deepest(content)
    first, last = (plain.layers[place].activation_std for place in (0, -2))
    losses = [f"{signals.loss:.2f}" if signals.loss < 100 else number(signals.loss) for signals in (plain, residual)]
    with_norm = largest(deepest(contents["gradients_own"])[1])
    return f"""## Before training, without batch norm

![Gradients and values by layer, plain and residual networks, without batch norm](skip_connections/gradients_none.png)

{ratio_table(content)}

Both rows of panels have one scale, so that the lines of the plain networks look flatter than they are. Here no multiple
shows the trouble: the gradients of all layers are large together, or small together.

The initial weights of He et al. ([2015](https://arxiv.org/abs/1502.01852)) keep the mean square of a plain network's
values at one size, as a mean over draws of the weights, apart from the zeros around the edges of the maps. In these
draws the standard deviation of the values is lower at the last convolution than at the first in every plain network;
in `plain{DEEPEST}` it goes from {first:.2g} to {last:.2g}. The chance of the draw and the zeros
may both have a part in this; we have not told them apart.

With skip connections the values add up: each block adds about as much as it receives, so that the values grow with
every block, and with them the gradients of all layers. The loss at the start is {losses[0]} in `plain{DEEPEST}` and
{losses[1]} in `resnet{DEEPEST}`, where equal probabilities have {GUESSING:.2f}. With batch norm in each block, every
block adds about the same amount, and the sum grows slowly: to {number(with_norm)} in `resnet{DEEPEST}`.

{circumstances(content)}
"""


def by_network(content: Content) -> dict[str, Signals]:
    """Returns the signals of the networks by their names, without the words on norms."""
    return {signals.name.partition(", ")[0]: signals for signals in map(signals_of, content["networks"])}


def deepest(content: Content) -> tuple[Signals, Signals]:
    """Returns the signals of the deepest plain and the deepest residual network."""
    found = by_network(content)
    return found[f"plain{DEEPEST}"], found[f"resnet{DEEPEST}"]


def largest(signals: Signals) -> float:
    """Returns the largest standard deviation of the values of a layer."""
    return max(layer.activation_std for layer in signals.layers)


def signals_of(network: Content) -> Signals:
    """Returns the signals of a network from plain data; a value that is not finite was not kept."""
    layers = [
        {key: float("nan") if value is None else value for key, value in each.items()} for each in network["layers"]
    ]
    return Signals(network["name"], tuple(Layer(**each) for each in layers), network["loss"])


def ratio_table(content: Content) -> str:
    """Returns the table of the first convolution's gradient by number of layers."""
    rows = [
        "| layers | plain: first by last | residual: first by last | plain: first | residual: first |",
        "|--:|--:|--:|--:|--:|",
    ]
    found = by_network(content)
    for plain in (signals for name, signals in found.items() if name.startswith("plain")):
        pair = plain, found[plain.name.partition(", ")[0].replace("plain", "resnet", 1)]
        cells = [*map(ratio, pair), *(signals.layers[0].gradient_norm for signals in pair)]
        rows.append(f"| {len(plain.layers)} | {' | '.join(map(number, cells))} |")
    return "\n".join(rows)


def ratio(signals: Signals) -> float:
    """Returns the gradient norm of the first convolution over that of the last one, behind which is the classifier."""
    return signals.layers[0].gradient_norm / signals.layers[-2].gradient_norm


def number(value: float) -> str:
    """Returns a number with two digits and without an exponent.

    >>> number(1_432_000.0), number(0.0871), number(3.04)
    ('1,400,000', '0.087', '3')
    """
    text = f"{value:,.2g}"
    return f"{float(text):,.0f}" if "e+" in text else text


def circumstances(content: Content) -> str:
    """Returns the facts that a reader needs to repeat a measurement of gradients."""
    notes = "".join(f" Note: {note}." for note in content["notes"])
    return "\n".join(
        [
            f"- Data: one batch of {content['images']} training images of `{content['data']}`, not augmented.{notes}",
            f"- n: one draw of the weights and of the batch, seed {content['seed']}; `20(depths=1,1,1)` has 8 layers, "
            "`20(depths=2,2,2)` 14",
            made(content["session"]),
        ]
    )


def made(session: Content) -> str:
    """Returns the lines of the machine, the versions and the command."""
    return (
        f"- Hardware: {values(session['hardware'])}\n"
        f"- Versions: {values(session['versions'])}; commit {short(session['git_commit'] or 'unknown')}\n"
        f"- Command: `{plain_command(session['command'])}`"
    )


# ------------------------------------------------------------------------------------------------------- the training


def degradation(content: Content) -> str:
    """Returns the section about the errors by depth."""
    terms = {term.name: term.text for term in in_words(content["protocol"])}
    kept = [
        name for name in terms if name.split()[0] in ("Data", "Selection", "Recipe", "Hardware", "Versions", "Notes")
    ]
    facts = "\n".join(f"- {name}: {terms[name]}" for name in kept)
    commits = ", ".join(map(short, content["protocol"]["git_commit"]))
    commands = "\n".join(map(plain_command, content["protocol"]["command"]))
    return f"""## The first {content["epochs"]} epochs of training

![Errors by epoch, plain networks left, residual networks right](skip_connections/degradation.png)

Thin lines are the error on the training images, bold lines the error on the validation images, diamonds the error on
the test images. The training error is the mean over an epoch's augmented images while the weights change, so it can be
above the validation error.

{error_rows(content)}

Training and validation errors are of the last epoch. The test images are evaluated once, at the epoch with the best
accuracy on validation.

{wrapped(content["verdict"])}

This is no overfitting: the deeper networks are worse on the very images that they learn from. But so few epochs show
first of all which networks learn faster. In the paper, after the full training, `resnet56` ends below `resnet20`
(errors of 6.97 and 8.75 % on test, table 6), and `plain56` a few points above `plain20` (figure 6).

{facts}
- Commit: {commits}

```sh
{commands}
convatlas degradation RUN... --out DIR
```
"""


def change_said(effect: Content) -> str:
    """Returns what depth adds to the training error of a kind, in words."""
    mean = effect["training"]["mean"]
    points = "unknown" if mean is None else f"{100 * mean:+.2f} points"
    return f"{effect['kind']}, {effect['layers'][1]} against {effect['layers'][0]} layers, {points}"


def error_rows(content: Content) -> str:
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


# ----------------------------------------------------------------------------------------------------------- the loss


def landscape(content: Content) -> str:
    """Returns the section about the loss surfaces."""
    points, surfaces, scale = surfaces_of(content)
    rows = [
        "| network | loss at the centre | error there % | valleys | loss of the other valleys | highest loss |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    for loss, surface in zip(points.loss, surfaces, strict=True):
        centre, low = surface["centre"], lowest(loss)
        others = sorted(value for value in loss[low] if value > centre["loss"] + 1e-6)
        between = f"{others[0]:.2f} to {others[-1]:.2f}" if others else "-"
        highest = "not finite" if surface["highest"] is None else number(surface["highest"])
        cells = [f"`{surface['name']}`", f"{centre['loss']:.4f}", percent(centre["error"]), str(valleys(loss))]
        rows.append(f"| {' | '.join([*cells, between, highest])} |")
    lines = "\n".join(f"- {line}" for line in landscape_protocol(content, scale))
    table = "\n".join(rows)
    return f"""## The loss around the trained weights

![Contours and views of the loss around the trained weights of both networks](skip_connections/landscape.png)

{wrapped(caption(content))}

{table}

A valley is a point of the grid whose loss is lower than that of all its neighbours; some are shallow. With one valley,
a walk that always goes to the lowest neighbour ends at the trained network, wherever it begins. With several it may end
in another valley. Equal probabilities for all ten classes have a loss of {GUESSING:.2f}.

The weights are those of the epoch with the best accuracy on validation; the error is that on images that are not
augmented. The two networks are not equally well trained, and a part of the difference may come from that. Li et al.
([2018](https://arxiv.org/abs/1712.09913)) draw such surfaces of networks of 56 and 110 layers after full training:
smooth with skip connections, chaotic without.

{lines}
- Grid: {points.loss.shape[1]} x {points.loss.shape[2]} points; n: one run of each network
{made(content["session"])}
"""


def surfaces_of(content: Content) -> tuple[Points, list[dict[str, Any]], Scale]:
    """Returns points, facts and scale of the loss surfaces; a loss that was not kept is infinite."""
    surfaces = content["surfaces"]
    arrays = {name: np.array([surface[name] for surface in surfaces], dtype=float) for name in ARRAYS}
    arrays = {name: np.where(np.isnan(array), np.inf, array) for name, array in arrays.items()}
    scale = Scale(**{**content["scale"], "levels": tuple(content["scale"]["levels"])})
    return Points(content, **arrays), surfaces, scale


def lowest(loss: np.ndarray) -> np.ndarray:
    """Returns which points of a grid (rows, columns) have a loss below that of all their neighbours, up to eight."""
    rows, columns = loss.shape
    padded = np.pad(loss, 1, constant_values=np.inf)
    shifts = [(row, column) for row in range(3) for column in range(3) if (row, column) != (1, 1)]
    around = [padded[row : row + rows, column : column + columns] for row, column in shifts]
    return np.asarray(loss < np.min(around, axis=0))


def valleys(loss: np.ndarray) -> int:
    """Returns the number of valleys of a grid (rows, columns)."""
    return int(lowest(loss).sum())
