"""The text of `show`: the facts and the table of layers of one network, or of two side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Literal

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from convatlas.cli.options import console
from convatlas.complexity import BYTES, GATHERS, Complexity, Part, macs_of, operation_of, output_of, side_of, size_of
from convatlas.words import quantity

if TYPE_CHECKING:
    from rich.console import RenderableType

    from convatlas.cli.show import Shown

WIDE, MIDDLE = 140, 96  # columns of a terminal: enough for all digits of the counts, enough for all columns but one
DIFFERENT = "bold yellow"


def page(shown: Shown, *, depth: int | None) -> list[RenderableType]:
    """Returns the page of one architecture: facts, counts, layers."""
    facts = _facts_table()
    for name, value in (*_known(shown), *_counted(shown)):
        facts.add_row(name, escape(value))
    levels = depth or shown.counted.readable_depth
    layers, said = _layers(shown.counted, levels), _folded_said(shown.counted, levels)
    return ["", f"[bold]{escape(shown.row.name)}[/bold]", facts, "", layers, said, _left_out(shown.counted)]


def calculation(counted: Complexity) -> list[RenderableType]:
    """Returns the page of the layers that `--module` gives: their table and their counts."""
    values = f"{counted.activations:,} values, {memory(BYTES * counted.activations)} in float32"
    facts = _facts_table()
    facts.add_row("MACs", f"{counted.network.at_least}{counted.macs:,} multiply-adds ({2 * counted.macs:,} FLOPs)")
    facts.add_row("parameters", f"{counted.params:,}, {counted.weights:,} without biases")
    facts.add_row("activations", values)
    return ["", _layers(counted, 1), _left_out(counted), facts, ""]


def side_by_side(left: Shown, right: Shown, *, depth: int | None) -> list[RenderableType]:
    """Returns the page of two architectures: their counts and their layers in pairs; differences are marked."""
    counts = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", left.row.name, right.row.name, ""):
        counts.add_column(escape(heading), overflow="fold")
    for (name, ours), (_, theirs) in zip(_counted(left), _counted(right), strict=True):
        counts.add_row(f"[dim]{name}[/]", escape(ours), escape(theirs), _mark(ours != theirs))
    for name, ratio in _ratios(left.counted, right.counted):
        counts.add_row(f"[dim]{name}[/]", "", f"x {ratio:.4f}")
    levels = depth or min(left.counted.readable_depth, right.counted.readable_depth)
    said = "* marks a difference, perhaps in a value without a column here; fields are not compared; x: second / first"
    return [
        "",
        counts,
        "",
        _pairs(left, right, levels),
        Text(said, style="dim"),
        _left_out(left.counted, right.counted),
    ]


def memory(count: float) -> str:
    """Returns a number of bytes with its unit.

    >>> memory(60_950_432), memory(1_512)
    ('61.0 MB', '1.51 kB')
    """
    return f"{quantity(count)}B" if count >= 1000 else f"{count:.0f} B"


def _facts_table() -> Table:
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    return facts


def _known(shown: Shown) -> Iterator[tuple[str, str]]:
    """Yields the facts of an architecture that need no counting, each with its name."""
    row = shown.row
    if row.paper:
        yield "source", f"{row.paper.authors} {row.paper.year}, {row.paper.title}"
        yield "", row.paper.url
    if row.note:
        yield "note", row.note
    for result in row.published:
        yield "published", f"{100 * result.top1:.2f} % {result.split} on {result.dataset} ({result.source})"
    for precision in row.precisions:
        yield "published", f"{100 * precision.ap:.1f} AP {precision.split} on {precision.dataset} ({precision.source})"
    if row.weights:
        yield "weights", f"{', '.join(weights.name for weights in row.weights)}: for --weights"
    if row.recipe:
        yield "recipe", row.recipe
    defaults = {**row.options(), **shown.options}
    if defaults:
        yield "options", ", ".join(f"{name}={_text(value)}" for name, value in defaults.items())


def _counted(shown: Shown) -> Iterator[tuple[str, str]]:
    """Yields the counts of the whole architecture, each with its name."""
    counted = shown.counted
    yield "image", size_of(counted.shape)
    yield "parameters", f"{counted.params:,}, {counted.weights:,} without biases"
    yield "MACs", f"{counted.network.at_least}{counted.macs:,} multiply-adds an image ({2 * counted.macs:,} FLOPs)"
    values = f"{counted.activations:,} values an image, {memory(BYTES * counted.activations)} in float32"
    yield "activations", values
    if isinstance(shown.memory, str):
        yield "training step", shown.memory
    else:
        needed = memory(shown.memory)
        yield "training step", f"{needed} for {shown.batch_size} images in float32, SGD with momentum"


def _layers(counted: Complexity, depth: int) -> Table:
    """Returns the table: the image, the layers, the totals. A narrow terminal has fewer columns."""
    width = console().width
    columns = [column for column in _columns(short=width < WIDE) if width >= column.least]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        left = column.heading in ("layer", "operation")
        table.add_column(column.heading, justify="left" if left else "right", no_wrap=column.heading != "operation")
    network = counted.network
    image = replace(NOTHING, name="input", shape=counted.shape, activations=math.prod(counted.shape))
    total = replace(NOTHING, name="total", activations=counted.activations, params=network.params)
    total = replace(total, weights=network.weights, macs=network.macs, not_counted=network.not_counted)
    for part in (replace(image, receptive_field=(1, 1), stride=(1, 1)), *network.rows(depth)):
        table.add_row(*(column.cell(part) for column in columns))
    table.add_section()
    table.add_row(*("" if column.heading == "operation" else column.cell(total) for column in columns), style="bold")
    return table


NOTHING = Part("", "", "", (), 0, 0, 0, 0)


@dataclass(frozen=True)
class _Column:
    """A column of the table of layers; the terminal must have at least `least` columns of text for it."""

    heading: str
    cell: Callable[[Part], str | Text]
    least: int = 0


def _columns(*, short: bool) -> list[_Column]:
    """Returns all columns; `short` ones have counts of three digits and short headings."""
    number: Callable[[float], str] = quantity if short else "{:,}".format

    def text(count: int) -> str:
        return number(count) if count else ""

    def operation(part: Part) -> str | Text:
        said = operation_of(part)
        return Text(said, no_wrap=True, overflow="ellipsis") if short else escape(said)

    return [
        _Column("layer", lambda part: escape(part.name)),
        _Column("operation", operation),
        _Column("output", lambda part: output_of(part, between="x" if short else " x ")),
        _Column("weights", lambda part: text(part.weights), least=MIDDLE),
        _Column("params" if short else "parameters", lambda part: text(part.params)),
        _Column("MACs", lambda part: macs_of(part, number)),
        _Column("activations", lambda part: text(part.activations), least=WIDE),
        _Column("memory", lambda part: memory(BYTES * part.activations) if part.activations else ""),
        _Column("field" if short else "receptive field", lambda part: side_of(part.receptive_field)),
        _Column("stride", lambda part: side_of(part.stride), least=MIDDLE),
    ]


def _folded_said(counted: Complexity, depth: int) -> Text:
    whole = counted.network.depth
    said = f"folded to level {depth} of {whole}: --depth {depth + 1} unfolds one more"
    if depth >= whole:
        said = "every layer is shown"
    more = "; more columns in a wider window" if console().width < WIDE else ""
    return Text(said + more, style="dim")


def _left_out(*counted: Complexity) -> Text:
    """Returns the notes on operations that the counts and the fields leave out."""
    fields = [GATHERS] if any(each.gathers for each in counted) else []
    said = dict.fromkeys([*(note for each in counted for note in each.notes), *fields])
    return Text("\n".join(said), style="dim")


def _pairs(left: Shown, right: Shown, depth: int) -> Table:
    """Returns the table of pairs: equal layers stand side by side; a layer without a partner stands beside nothing."""
    width = console().width
    leasts = {"layer": 0, "operation": WIDE, "output": MIDDLE, "params": 0, "MACs": 0, "memory": MIDDLE, "field": WIDE}
    names = [name for name, least in leasts.items() if width >= least]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in (*names, "", *names):
        justify: Literal["left", "right"] = "left" if heading in ("layer", "operation", "") else "right"
        table.add_column(heading, justify=justify, no_wrap=heading != "operation", min_width=1)
    for ours, theirs in _aligned(*(list(each.counted.network.rows(depth)) for each in (left, right))):
        cells = [_cells(part) for part in (ours, theirs)]
        differs = _compared(ours) != _compared(theirs)
        shown = [[cell[name] for name in names] for cell in cells]
        table.add_row(*shown[0], _mark(differs), *shown[1], style=DIFFERENT if differs else "")
    return table


def _aligned(left: list[Part], right: list[Part]) -> Iterator[tuple[Part | None, Part | None]]:
    """Yields pairs of rows: equal rows together, the different rows between them in order, the rest with None."""
    names, others = ([(part.name, operation_of(part)) for part in rows] for rows in (left, right))
    matcher = SequenceMatcher(None, names, others, autojunk=False)
    for _, first, last, other_first, other_last in matcher.get_opcodes():
        ours, theirs = left[first:last], right[other_first:other_last]
        for index in range(max(len(ours), len(theirs))):
            yield (ours[index] if index < len(ours) else None), (theirs[index] if index < len(theirs) else None)


def _compared(part: Part | None) -> tuple[object, ...]:
    """Returns the compared values of a row: all but the receptive field, which depends on the rows before."""
    if part is None:
        return ()
    counts = (part.params, part.weights, part.macs, part.not_counted, part.activations)
    return part.name, operation_of(part), part.shape, counts


def _cells(part: Part | None) -> dict[str, str]:
    """Returns the texts of a row by the headings of the columns; empty texts for None."""
    if part is None:
        return dict.fromkeys(("layer", "operation", "output", "params", "MACs", "memory", "field"), "")
    return {
        "layer": escape(part.name),
        "operation": escape(operation_of(part)),
        "output": output_of(part, between="x"),
        "params": quantity(part.params) if part.params else "",
        "MACs": macs_of(part, quantity),
        "memory": memory(BYTES * part.activations) if part.activations else "",
        "field": side_of(part.receptive_field),
    }


def _ratios(left: Complexity, right: Complexity) -> Iterator[tuple[str, float]]:
    for name in ("params", "macs", "activations"):
        ours, theirs = getattr(left, name), getattr(right, name)
        unknown = name == "macs" and (left.network.not_counted or right.network.not_counted)
        if ours and ours != theirs and not unknown:
            yield {"params": "parameters", "macs": "MACs"}.get(name, name), theirs / ours


def _mark(differs: bool) -> str:
    return f"[{DIFFERENT}]*[/]" if differs else ""


def _text(value: Any) -> str:
    """Returns a value as `-o` takes it: 3,4,6,3 and 1x64,1x128."""
    if not isinstance(value, tuple):
        return str(value)
    return ",".join("x".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value)
