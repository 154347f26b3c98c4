"""Diagrams: what is in them, against networks that are known by hand, and that nothing in them overlaps."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.architecture import Architecture
from convatlas.architectures import architecture, list_architectures
from convatlas.architectures.backbones import Backbone
from convatlas.architectures.dpn.blocks import DualPath
from convatlas.cli import main
from convatlas.complexity import Complexity, Part, meta_network
from convatlas.errors import UsageError
from convatlas.insight.diagram import Drawing, Flow, View, blocks_of, diagram, drawing, follow, sheet, svg, view
from convatlas.insight.diagram.boxes import Box
from convatlas.insight.diagram.geometry import BEHIND, LANE, Node, Rect
from convatlas.insight.diagram.text import text_width
from convatlas.layers import Concat, Residual

SMALLEST = 5.9  # points, of the smallest text on paper
OF_SIX_LEVELS = {"efficientdet_d7x": 5.0}  # side by side
UNCOUNTED = Complexity((3, 1, 1), Part("", "", "", (1,), 0, 0, 0, 0))


def flow_of(network: nn.Module, *, channels: int = 3, size: int = 32) -> Flow:
    return follow(network.to("meta").eval(), torch.empty(1, channels, size, size, device="meta"), name="mine")


def flow_named(name: str) -> Flow:
    row = architecture(name)
    image = torch.empty(1, row.in_channels, row.image_size, row.image_size, device="meta")
    return follow(meta_network(row), image, name=name)


def faults(drawn: Drawing, *, smallest: float = SMALLEST) -> list[str]:
    """What lies on something else, outside of the sheet, or is too small to read on paper."""
    found = []
    boxes = [(node.box.path or node.box.lines[0], extent(node)) for node in drawn.nodes]
    fronts = [(name, node.rect) for (name, _), node in zip(boxes, drawn.nodes, strict=True)]
    fronts += [(name, beside(node)) for (name, _), node in zip(boxes, drawn.nodes, strict=True)]
    labels = [(label.text, label.rect) for label in drawn.labels]
    for (name, rect), (other, second) in combinations([*boxes, *labels], 2):
        if rect.overlaps(second):
            found.append(f"{name} lies on {other}")
    for wire in drawn.wires:
        points = list(wire.sampled())
        for name, rect in near(points, (*fronts, *labels)):
            found += [f"a wire crosses {name}" for x, y in points if rect.contains(x, y)]
    found += loose_ends(drawn)
    sheet_of = Rect(0, 0, drawn.width, drawn.height)
    for name, rect in (*boxes, *labels):
        if not (sheet_of.x <= rect.x and rect.right <= sheet_of.right and rect.bottom <= sheet_of.bottom):
            found.append(f"{name} is not on the sheet")
    for node in drawn.nodes:
        found += [f"{line} is wider than its box" for line in node.box.lines if text_width(line, 12) > node.rect.width]
    if drawn.points < smallest:
        found.append(f"the text is {drawn.points:.1f} points high on A4")
    return found


def near(points: list[tuple[float, float]], rects: Iterable[tuple[str, Rect]]) -> list[tuple[str, Rect]]:
    """Returns the rectangles that may hold one of the points: others lie beyond all of them."""
    (left, right), (top, bottom) = ((min(each), max(each)) for each in zip(*points, strict=True))
    return [
        (name, rect)
        for name, rect in rects
        if rect.x <= right and rect.right >= left and rect.y <= bottom and rect.bottom >= top
    ]


def extent(node: Node) -> Rect:
    """A box with what it shows behind and beside itself."""
    behind = BEHIND if node.box.count > 1 else 0
    width = node.rect.width + beside(node).width
    return Rect(node.rect.x, node.rect.y, width, node.rect.height + behind - 0.02)


def beside(node: Node) -> Rect:
    """What a box shows on its right: another behind it, and the arc of what passes by."""
    width = (BEHIND if node.box.count > 1 else 0) + (LANE - 4 if node.box.skip else 0)
    return Rect(node.rect.right, node.rect.y, width, node.rect.height)


def loose_ends(drawn: Drawing) -> list[str]:
    """Wires that begin neither at a box nor where another ends, or end neither on a box nor where another begins.

    They begin below a box or beside it, and end on a box or beside it.
    """

    def near(first: tuple[float, float], second: tuple[float, float]) -> bool:
        return abs(first[0] - second[0]) < 0.01 and abs(first[1] - second[1]) < 0.01

    def on(point: tuple[float, float], *, below: bool) -> bool:
        rects = [node.rect for node in drawn.nodes]
        x, y = point
        across = any(rect.x <= x <= rect.right and abs(y - (rect.bottom if below else rect.y)) < 0.01 for rect in rects)
        return across or any(
            rect.y < y < rect.bottom and min(abs(x - rect.x), abs(x - rect.right)) < 0.01 for rect in rects
        )

    starts, ends = ([wire.points[index] for wire in drawn.wires] for index in (0, -1))
    begun = [p for p in starts if not on(p, below=True) and not any(near(p, end) for end in ends)]
    ended = [p for p in ends if not on(p, below=False) and not any(near(p, start) for start in starts)]
    loose = [f"nothing leads to the wire at {p}" for p in begun] + [f"the wire at {p} leads nowhere" for p in ended]
    arrows = [wire.points[-1] for wire in drawn.wires if wire.arrow]
    return loose + [f"the arrow at {p} points at no box" for p in arrows if not on(p, below=False)]


SEEN: set[tuple[object, ...]] = set()  # boxes and arrows that were checked, since families share their blocks


@pytest.mark.slow
@pytest.mark.parametrize("name", list_architectures())
def test_nothing_overlaps(name: str) -> None:
    flow = flow_named(name)
    whole = view(flow)
    for block in ["", *blocks_of(whole)]:
        opened = view(flow, block)
        key = (*[(box.lines, box.path, box.count, box.shapes) for box in opened.boxes], opened.arrows)
        if key not in SEEN:
            SEEN.add(key)
            drawn = drawing(flow, UNCOUNTED, name=name, block=block)
            assert faults(drawn, smallest=OF_SIX_LEVELS.get(name, SMALLEST)) == [], block
    assert any(box.kind not in ("image", "output") for box in whole.boxes)
    for box in whole.boxes:
        if box.kind == "block":
            check_block(flow, box)
    assert whole.boxes[-1].kind == "output"
    row = architecture(name)
    channels = {shape[0] for shape in whole.boxes[-1].shapes}  # a detector's are of nine anchors
    assert channels == ({9 * row.num_classes, 9 * 4} if row.task == "detection" else {row.num_classes})


def check_block(flow: Flow, box: Box) -> None:
    """An arc where there is a residual or a dense connection, by the classes inside; only equal blocks are folded."""
    first = flow.find(box.path.split(" to ")[0])
    joined = [
        isinstance(each, Residual | DualPath)
        or (isinstance(each, Concat) and any(isinstance(branch, nn.Identity) for branch in each.children()))
        for each in first.module.modules()
    ]
    stage = first.around is not None and type(first.around.module) is Backbone  # a detector's are closed as a whole
    assert box.skip == (any(joined) and not stage), box.path
    if box.count > 1:
        assert first.around is not None
        beside = first.around.inside
        folded = beside[beside.index(first) : beside.index(first) + box.count]
        assert len(folded) == box.count
        kinds = {tuple(type(module).__name__ for module in call.module.modules()) for call in folded}
        assert len(kinds) == 1, box.path
        if box.lines[0] not in ("dense layer", "dual path block"):  # they grow
            assert len({tuple(p.shape for p in call.module.parameters()) for call in folded}) == 1, box.path


def test_faults_are_found() -> None:
    drawn = drawing(flow_named("resnet_uva"), UNCOUNTED, name="x", block="stage2.0")
    first, second = drawn.nodes[1:3]
    moved = type(second)(second.box, first.rect.moved(5, 5))
    for change in (
        {"nodes": (*drawn.nodes[:2], moved, *drawn.nodes[3:])},
        {"width": drawn.width / 2},
        {"labels": (*drawn.labels, type(drawn.labels[0])("lies on a box", first.rect.x, first.rect.y + 20))},
        {"height": 5000.0},
        {"wires": drawn.wires[1:]},
        {"wires": (*drawn.wires[:-1], drawn.wires[-1].moved(0, 3))},
    ):
        assert faults(Drawing(**{**vars(drawn), **change}))


# ------------------------------------------------------------------------------------------------------------- contents


def lines(shown: View) -> list[str]:
    """The boxes in their order, each in a line."""
    return [" | ".join(box.lines) + (f" × {box.count}" if box.count > 1 else "") for box in shown.boxes]


def named(shown: View) -> set[tuple[str, str]]:
    """The arrows by the first lines of their boxes."""
    return {(shown.boxes[a].lines[0], shown.boxes[b].lines[0]) for a, b in shown.arrows}


def test_densenet_121_has_6_12_24_and_16_layers() -> None:
    shown = view(flow_named("densenet121"))
    dense = [box for box in shown.boxes if box.lines[0] == "dense layer"]
    assert [box.count for box in dense] == [6, 12, 24, 16]
    assert [box.shapes[0][0] for box in dense] == [256, 512, 1024, 1024]
    assert all(box.skip and box.lines[1] == "1 x 1, 128 → 3 x 3, 32" for box in dense)


def test_resnet_50_as_in_the_papers_table() -> None:
    shown = view(flow_named("resnet50"))
    blocks = [box for box in shown.boxes if box.kind == "block"]
    assert [box.count for box in blocks] == [1, 2, 1, 3, 1, 5, 1, 2]
    assert all(box.skip and box.lines[0] == "residual block" for box in blocks)
    assert [box.path for box in blocks[:2]] == ["stage1.0", "stage1.1 to 2"]
    assert lines(shown)[1] == "7 x 7 conv, 64, /2 | batch norm | ReLU"


def test_an_inception_block() -> None:
    shown = view(flow_named("googlenet"), "inception3a")
    assert [len(shown.after(0)), len(shown.before(len(shown.boxes) - 2))] == [4, 4]
    convs = [box.lines[0] for box in shown.boxes if box.kind == "conv"]
    assert convs == [f"{k} x {k} conv, {n}" for k, n in ((1, 64), (1, 96), (3, 128), (1, 16), (3, 32), (1, 32))]
    assert shown.boxes[-1].shapes == ((256, 28, 28),)


@pytest.mark.parametrize(
    ("name", "block", "arrow"),
    [
        ("resnet_uva", "stage1.1", ("input", "+")),
        ("preact_resnet_uva", "stage1.1", ("input", "+")),
        ("densenet_uva", "block1.1", ("input", "concat")),
        ("efficientnet_b0", "stage2.1", ("3 x 3 depthwise conv, 144", "×")),
        ("bit_resnet26_cifar", "stage2.0", ("1 x 1 standardised conv, 128, /2", "+")),
        ("resnet20", "stage2.0", ("ZeroPadShortcut", "+")),
    ],
)
def test_skip_connections(name: str, block: str, arrow: tuple[str, str]) -> None:
    assert arrow in named(view(flow_named(name), block))


class Branching(nn.Module):
    """Functions in `forward`, a layer that is used twice, and a value that goes into three others."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.twice = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(16 * 16, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.first(images))
        once = self.twice(features)
        again = self.twice(once)
        joined = torch.cat([once + features, again], 1)
        means = F.max_pool2d(joined, 8).flatten(1)
        return self.fc(means)


def test_ones_own_network_with_functions_and_a_shared_layer() -> None:
    flow = flow_of(Branching())
    shown = view(flow)
    assert lines(shown) == [
        "image",
        "3 x 3 conv, 8",
        "ReLU",
        "1 x 1 conv, 8",
        "1 x 1 conv, 8",
        "+",
        "concat",
        "max pool",
        "reshape",
        "linear, 10",
        "output",
    ]
    assert shown.arrows == {
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 4),
        (3, 5),
        (2, 5),
        (5, 6),
        (4, 6),
        (6, 7),
        (7, 8),
        (8, 9),
        (9, 10),
    }
    assert faults(sheet(shown, title="mine", subtitle="")) == []


def test_a_layer_that_works_in_place_and_one_that_passes_on() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Identity(), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Conv2d(4, 2, 1)
    )
    assert lines(view(flow_of(network))) == ["image", "1 x 1 conv, 4 | ReLU | dropout 0.5", "1 x 1 conv, 2", "output"]


class Passing(nn.Module):
    """What is used before and after a layer that changes nothing, and values that only change hands."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv(images)
        dropped = self.dropout(features)
        whole = features[:].view(features.shape).detach()
        return self.last(torch.cat([whole, dropped], 1))


def test_values_that_pass_unchanged() -> None:
    shown = view(flow_of(Passing()))
    assert lines(shown) == ["image", "1 x 1 conv, 4", "dropout 0.5", "concat", "1 x 1 conv, 2", "output"]
    assert shown.arrows == {(0, 1), (1, 2), (1, 3), (2, 3), (3, 4), (4, 5)}


class Custom(nn.Module):
    """A network of named layers and the function that joins them."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.joined = forward

    def forward(self, images: Tensor) -> Any:
        return self.joined(self, images)


def conv(outputs: int = 3, inputs: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def arrows_of(forward: Callable[[Any, Tensor], Any], **layers: nn.Module) -> set[tuple[str, str]]:
    """The arrows of such a network by paths, or by what stands in the boxes; its drawing has no faults."""
    shown = view(flow_of(Custom(forward, **layers)))
    assert faults(sheet(shown, title="mine", subtitle="")) == []
    names = [box.path or box.lines[0] for box in shown.boxes]
    return {(names[a], names[b]) for a, b in shown.arrows}


def test_only_what_is_returned_leads_to_the_output() -> None:
    def unused(net: Any, images: Tensor) -> Tensor:
        features = net.a(images)
        net.debug(features)
        return net.b(features)

    found = arrows_of(unused, a=conv(), b=conv(), debug=conv())
    assert found == {("image", "a"), ("a", "debug"), ("a", "b"), ("b", "output")}

    def several(net: Any, images: Tensor) -> dict[str, Tensor]:
        features = net.a(images)
        return {"features": features, "logits": net.b(features)}

    assert {("a", "output"), ("b", "output")} <= arrows_of(several, a=conv(), b=conv())


def test_writing_in_place_through_a_view_is_followed() -> None:
    def written(net: Any, images: Tensor) -> Tensor:
        features = net.a(images)
        features[:, :2] = net.b(features[:, :2])
        return net.c(features)

    found = arrows_of(written, a=conv(), b=conv(2, 2), c=conv())
    assert ("b", "copy") in found
    assert ("copy", "c") in found
    assert ("a", "c") not in found


def test_writing_into_a_new_tensor_is_followed() -> None:
    def written(net: Any, images: Tensor) -> Tensor:
        joined = torch.zeros(1, 6, 32, 32)
        joined[:, :3] = net.a(images)
        joined[:, 3:] = net.b(images)
        return net.c(joined)

    shown = view(flow_of(Custom(written, a=conv(), b=conv(), c=conv(3, 6))))
    names = [box.path or box.lines[0] for box in shown.boxes]
    copies = [index for index, name in enumerate(names) if name == "copy"]
    assert len(copies) == 2
    assert names.index("a") in shown.before(copies[0])
    assert names.index("b") in shown.before(copies[1])
    assert shown.before(names.index("c")) == [copies[1]]
    assert ("c", "output") in {(names[a], names[b]) for a, b in shown.arrows}


def test_writing_to_other_channels_leaves_these_alone() -> None:
    def parted(net: Any, images: Tensor) -> Tensor:
        features = net.a(images)
        first, second = features[:, :3], features[:, 3:]
        first.relu_()
        return net.b(first) + net.c(second)

    found = arrows_of(parted, a=conv(6), b=conv(), c=conv())
    assert {("ReLU", "b"), ("channels 3 to end", "c")} <= found
    assert ("ReLU", "c") not in found


def test_a_value_that_leaves_a_chain_is_seen() -> None:
    def skipped(net: Any, images: Tensor) -> Tensor:
        features = net.a(images)
        return net.chain(features) + features  # which the chain has changed in place

    found = arrows_of(skipped, a=conv(), chain=nn.Sequential(nn.ReLU(inplace=True), conv()))
    assert {("chain.0", "chain.1"), ("chain.0", "+"), ("chain.1", "+")} <= found


@pytest.mark.parametrize(
    ("forward", "skip"),
    [
        (lambda net, x: net.b(net.a(x)) + x, True),
        (lambda net, x: net.a(x) + net.c(net.b(x)), True),
        (lambda net, x: net.a(x) + net.b(x), False),
        (lambda net, x: net.a(x) + net.b.bias[:, None, None], False),
        (lambda net, x: net.a(x) * F.relu6(net.a(x) + 3) / 6, False),
        (lambda net, x: torch.cat([x, net.a(x)], 1), True),
        (lambda net, x: torch.cat([net.a(x), F.max_pool2d(x, 3, 1, 1)], 1), False),
    ],
)
def test_an_arc_is_where_something_passes_by(forward: Callable[[Any, Tensor], Any], skip: bool) -> None:
    block = Custom(forward, a=conv(), b=conv(), c=conv())
    (box,) = [box for box in view(flow_of(nn.Sequential(block, nn.Flatten()))).boxes if box.kind == "block"]
    assert box.skip == skip


def test_blocks_that_are_joined_in_another_way_are_not_folded() -> None:
    ways = (lambda net, x: net.b(net.a(x)) + x, lambda net, x: net.b(net.a(x)) + net.a(x))
    blocks = [Custom(ways[index], a=conv(), b=conv()) for index in (0, 0, 1, 1, 0)]
    assert [box.count for box in view(flow_of(nn.Sequential(*blocks))).boxes if box.kind == "block"] == [2, 2, 1]
    padded = [nn.Conv2d(3, 3, 3, padding=index) for index in (1, 1, 0, 0)]
    assert [box.count for box in view(flow_of(nn.Sequential(*padded))).boxes if box.kind == "conv"] == [2, 1, 1]


def test_two_inputs_of_a_block_are_two_boxes() -> None:
    class Up(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
            self.conv = nn.Conv2d(6, 3, 1)

        def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
            return self.conv(torch.cat([self.up(deep), skip], 1))

    network = Custom(
        lambda net, x: net.up(net.down(x), net.first(x)), up=Up(), first=conv(), down=nn.Conv2d(3, 4, 2, 2)
    )
    shown = view(flow_of(network), "up")
    assert [box.shapes[0] for box in shown.boxes if box.kind == "image"] == [(4, 16, 16), (3, 32, 32)]
    assert faults(sheet(shown, title="mine", subtitle="")) == []


def test_torchs_own_layers_stay_closed() -> None:
    attention = nn.MultiheadAttention(16, 2, batch_first=True)
    network = Custom(lambda net, x: net.attention(*[x.flatten(2)[..., :16]] * 3)[0], attention=attention)
    kinds = [box.lines[0] for box in view(flow_of(network)).boxes]
    assert "MultiheadAttention" in kinds
    assert len(kinds) < 8


@pytest.mark.slow
def test_deep_and_wide_networks_stay_on_the_sheet() -> None:
    deep = Custom(
        lambda net, x: [x := x + F.relu(layer(x)) for layer in net.layers][-1],
        layers=nn.ModuleList(conv() for _ in range(60)),
    )
    drawn = sheet(view(flow_of(deep)), title="deep", subtitle="")
    assert drawn.height < 1600

    def dense(net: Any, images: Tensor) -> Tensor:
        features = [images]
        for layer in net.layers:
            features.append(layer(torch.cat(features, 1)))
        return torch.cat(features, 1)

    wide = Custom(dense, layers=nn.ModuleList(conv(2, 3 + 2 * index) for index in range(30)))
    drawn = sheet(view(flow_of(wide)), title="wide", subtitle="")
    assert drawn.width < 4000
    assert [fault for fault in faults(drawn) if "points high" not in fault] == []


def test_constants_are_made_where_the_image_is() -> None:
    assert ("a", "×") in arrows_of(lambda net, x: net.a(x) * torch.ones(3, 1, 1), a=conv())
    with pytest.raises(UsageError, match="mine cannot be counted without values"):
        flow_of(Custom(lambda net, x: net.a(x) * x.mean().item(), a=conv()))


def test_names_that_xml_cannot_hold() -> None:
    network = nn.Sequential(OrderedDict({"a\x07b<&": conv(), "c": nn.Flatten(), "fc": nn.Linear(3 * 32 * 32, 2)}))
    content = svg(sheet(view(flow_of(network)), title="x\x00y", subtitle="&"))
    assert "a?b&lt;&amp;" in content
    ElementTree.fromstring(content)


class Crossed(nn.Module):
    """Two branches that exchange values: no chain of branches."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("a", "b", "c", "d"):
            self.add_module(name, nn.Conv2d(3, 3, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        a, b = self.get_submodule("a")(images), self.get_submodule("b")(images)
        c, d = self.get_submodule("c")(a + b), self.get_submodule("d")(a)
        return torch.cat([c + d, b, images, d], 1)


class Everything(nn.Module):
    """Each layer is given the sum of all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(6))

    def forward(self, images: Tensor) -> Tensor:
        found = [images]
        for layer in self.layers:
            found.append(layer(torch.stack(found).sum(0)))
        return torch.cat(found, 1)


@pytest.mark.parametrize("network", [Crossed(), Everything()])
def test_what_is_no_chain_of_branches_is_drawn_too(network: nn.Module) -> None:
    shown = view(flow_of(network))
    drawn = sheet(shown, title="mine", subtitle="")
    assert [fault for fault in faults(drawn) if "points high" not in fault] == []  # one of them is tall
    assert sum(wire.arrow for wire in drawn.wires) == len(shown.arrows)


def test_networks_of_one_layer_and_of_none() -> None:
    assert lines(view(flow_of(nn.Conv2d(3, 4, 3)))) == ["image", "conv", "output"]
    assert lines(view(flow_of(nn.Identity()))) == ["image", "output"]
    with pytest.raises(UsageError, match="mine cannot take an image of 3 x 32 x 32: "):
        flow_of(nn.Conv2d(4, 4, 3))


# ----------------------------------------------------------------------------------------------------------------- file


def test_the_file_is_text_with_shapes() -> None:
    content = diagram(architecture("resnet_uva")).svg
    root = ElementTree.fromstring(content)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for text in (
        "resnet_uva",
        "residual block",
        "32 x 16 x 16",
        "× 3",
        "3 x 3, 16 → 3 x 3, 16",
        "linear, 10",
        "stage2",
    ):
        assert text in texts
    assert "prefers-color-scheme:dark" in content
    assert "http" not in content.replace("http://www.w3.org/2000/svg", "")  # nothing from elsewhere


def test_options_and_size_are_drawn() -> None:
    small = diagram(architecture("resnet_uva"), image_size=64, depths=(1, 2, 4), num_classes=7)
    assert "64 x 16 x 16" in small.svg
    assert "linear, 7" in small.svg
    assert small.blocks == ("stage1", "stage2.0", "stage2.1", "stage3.0", "stage3.1")


def test_names_that_are_markup_do_not_break_the_file() -> None:
    row = Architecture("a<b&c", builder=lambda num_classes=10: nn.Sequential(nn.Conv2d(3, num_classes, 1)))
    ElementTree.fromstring(diagram(row).svg)


@pytest.mark.slow
def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "resnet.svg"
    assert main(["show", "resnet_uva", "--diagram", str(path)]) == 0
    assert "--block stage1.0 (or stage2.0" in capsys.readouterr().out
    assert ElementTree.fromstring(path.read_text()).tag.endswith("svg")
    assert main(["show", "resnet_uva", "--diagram", str(path), "--block", "stage2.0"]) == 0
    assert "resnet_uva: stage2.0" in path.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resnet_uva", "--diagram", "d.png"], ".svg"),
        (["resnet_uva", "lenet5", "--diagram", "d.svg"], "one architecture"),
        (["resnet_uva", "--diagram", "d.svg", "--block", "stage2.7"], "did you mean stage2"),
        (["resnet_uva", "--block", "stage2.0"], "--diagram"),
        (["resnet_uvb", "--diagram", "d.svg"], "did you mean resnet_uva"),
        (["vgg16", "--diagram", "d.svg", "--image-size", "8"], "smallest that it takes has 32"),
        (["resnet_uva", "--diagram", "/proc/nowhere/d.svg"], "cannot write"),
    ],
)
def test_bad_words(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["show", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
    assert not list(tmp_path.iterdir())
