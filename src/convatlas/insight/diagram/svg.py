"""A drawing as an SVG file: text is text, and the colours follow a light or a dark page."""

from __future__ import annotations

import html
from collections.abc import Iterator
from itertools import pairwise

from convatlas.insight.diagram.geometry import BEHIND, BODY, LABEL, LINE_HEIGHT, PAD, Label, Node, Wire
from convatlas.insight.diagram.sheet import MARGIN, Drawing

Colours = dict[str, str | tuple[str, str]]  # of text and lines; fill and border of boxes
LIGHT: Colours = {
    "ground": "#ffffff",
    "band": "#f3f5f7",
    "ink": "#1c2126",
    "soft": "#5a646e",
    "conv": ("#dcebf7", "#0072B2"),
    "pool": ("#dcf2e9", "#009E73"),
    "layer": ("#eceff2", "#87929c"),
    "block": ("#fff3dc", "#C77F00"),
    "operation": ("#ffffff", "#1c2126"),
    "image": ("#ffffff", "#5a646e"),
    "output": ("#ffffff", "#5a646e"),
}
DARK: Colours = {
    "ground": "#15181c",
    "band": "#1e2328",
    "ink": "#e8ebee",
    "soft": "#a9b3bc",
    "conv": ("#15334d", "#56B4E9"),
    "pool": ("#123a30", "#3fc79a"),
    "layer": ("#2a3037", "#7d8893"),
    "block": ("#3b2e12", "#E69F00"),
    "operation": ("#15181c", "#e8ebee"),
    "image": ("#15181c", "#a9b3bc"),
    "output": ("#15181c", "#a9b3bc"),
}
FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


def svg(drawing: Drawing) -> str:
    """Returns the text of the SVG file."""
    width, height = (f"{value:.0f}" for value in (drawing.width, drawing.height))
    name = f"{drawing.title}: {drawing.subtitle}"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)}">',
            f"<title>{escape(name)}</title>",
            f"<style>{_style()}</style>",
            f'<rect class="ground" width="{width}" height="{height}" rx="6"/>',
            _text(drawing.title, MARGIN, MARGIN + 14, kind="title"),
            _text(drawing.subtitle, MARGIN, MARGIN + 33, kind="label"),
            *(
                f'<rect class="band" x="{_n(f.rect.x)}" y="{_n(f.rect.y)}" width="{_n(f.rect.width)}" '
                f'height="{_n(f.rect.height)}" rx="6"/>'
                for f in drawing.frames
            ),
            *(line for wire in drawing.wires for line in _wire(wire)),
            *(line for node in drawing.nodes for line in _node(node)),
            *(_label(label) for label in drawing.labels),
            "</svg>\n",
        )
    )


def _style() -> str:
    dark = "".join(_rules(DARK))
    fonts = f"text{{font-family:{FONT};font-size:{BODY:g}px}}"
    sizes = f".title{{font-size:18px;font-weight:bold}}.label{{font-size:{LABEL:g}px}}.main{{font-weight:bold}}"
    lines = ".wire{fill:none;stroke-width:1.4}.box{stroke-width:1.3}"
    return f"{fonts}{sizes}{lines}{''.join(_rules(LIGHT))}@media screen and (prefers-color-scheme:dark){{{dark}}}"


def _rules(colours: Colours) -> Iterator[str]:
    yield f".ground{{fill:{colours['ground']}}}.band{{fill:{colours['band']}}}text{{fill:{colours['ink']}}}"
    yield f".label{{fill:{colours['soft']}}}.wire{{stroke:{colours['soft']}}}.head{{fill:{colours['soft']}}}"
    for name, pair in colours.items():
        if isinstance(pair, tuple):
            yield f".{name}{{fill:{pair[0]};stroke:{pair[1]}}}"


def escape(text: str) -> str:
    """Returns text for XML, without the characters that XML cannot hold."""
    return html.escape("".join(c if c.isprintable() else "?" for c in text))


def _n(value: float) -> str:
    """Returns a coordinate as short text."""
    return f"{value:.1f}".removesuffix(".0")


def _text(text: str, x: float, y: float, *, kind: str = "", anchor: str = "") -> str:
    extra = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{_n(x)}" y="{_n(y)}"{extra}>{escape(text)}</text>'


def _label(label: Label) -> str:
    return _text(label.text, label.x, label.y, kind="label")


def _wire(wire: Wire) -> Iterator[str]:
    """Returns the line and, where it points at a box, the head of the arrow."""
    (x, y), *_ = wire.points
    path = f"M{_n(x)} {_n(y)}"
    for (from_x, from_y), (to_x, to_y) in pairwise(wire.points):
        if from_x == to_x or from_y == to_y:
            path += f"L{_n(to_x)} {_n(to_y)}"
        else:
            middle = _n((from_y + to_y) / 2)
            path += f"C{_n(from_x)} {middle} {_n(to_x)} {middle} {_n(to_x)} {_n(to_y)}"
    yield f'<path class="wire" d="{path}"/>'
    if wire.arrow:
        (before, height), (x, y) = wire.points[-2:]
        shape = "l-3.6 -7h7.2z" if height != y else "l-7 -3.6v7.2z" if before < x else "l7 -3.6v7.2z"
        yield f'<path class="head" d="M{_n(x)} {_n(y)}{shape}"/>'


def _node(node: Node) -> Iterator[str]:
    box, rect = node.box, node.rect
    round_ends = box.kind in ("operation", "image", "output")
    radius = rect.height / 2 if round_ends else 5
    size = f'x="{_n(rect.x)}" y="{_n(rect.y)}" width="{_n(rect.width)}" height="{_n(rect.height)}"'
    if box.count > 1:
        yield f'<rect class="box {box.kind}" {size} rx="5" transform="translate({BEHIND:g} {BEHIND:g})"/>'
    if box.skip:
        yield _arc(node)
    yield f'<rect class="box {box.kind}" {size} rx="{_n(radius)}"/>'
    middle = rect.x + rect.width / 2
    if round_ends:
        yield _text(box.lines[0], middle, rect.y + rect.height / 2 + 4, anchor="middle")
        return
    y = rect.y + PAD / 2
    if box.path or box.count > 1:
        y += LINE_HEIGHT - 2
        yield _text(box.path, rect.x + PAD, y - 3, kind="label")
        if box.count > 1:
            yield _text(f"× {box.count}", rect.right - PAD, y - 2, kind="main", anchor="end")
    for index, line in enumerate(box.lines):
        main = _is_main(box.kind, index, line)
        yield _text(line, middle, y + LINE_HEIGHT * index + 12, kind="main" if main else "", anchor="middle")


def _is_main(kind: str, index: int, line: str) -> bool:
    """Returns whether a line is the main line of its box: the name of a block, or a convolution beside its norm."""
    return (kind == "block" and index == 0) or (kind == "conv" and ("conv" in line or "linear" in line))


def _arc(node: Node) -> str:
    """Returns the shortcut inside a closed block as an arc beside it."""
    rect = node.rect
    top, bottom, right = rect.y + 6, rect.bottom - 6, rect.right
    return (
        f'<path class="wire" d="M{_n(right)} {_n(top)}C{_n(right + 15)} {_n(top)} '
        f'{_n(right + 15)} {_n(bottom)} {_n(right)} {_n(bottom)}"/>'
        f'<path class="head" d="M{_n(right)} {_n(bottom)}l7 -3.6v7.2z"/>'
    )
