"""Names beside the points of a figure: a name covers no other name, no bubble and no interval, if there is room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

ANGLES = (0, 180, 40, -40, 140, -140, 70, -70, 110, -110, 90, -90)  # degrees around a point, the best first
GAPS = (3.0, 10.0, 22.0, 36.0, 52.0, 72.0, 95.0)  # points beyond the edge of the bubble, the nearest first
APART = 8.0  # points between neighbours of nearly equal x whose intervals overlap
FURTHEST = 14.0  # points by which a bubble may be moved; a longer way would misplace it on the axis
LEADER = 20.0  # points; a name that is further away gets a thin line


@dataclass(frozen=True)
class Point:
    """A named point: its place (x, y) and its interval on y in data units, the radius of its bubble in points."""

    name: str
    text: str
    x: float
    y: float
    low: float
    high: float
    radius: float
    colour: str


def side_by_side(axes: Axes, points: Sequence[Point]) -> list[Point]:
    """Returns the points in their order, and moves points apart along x that would hide each other's intervals.

    The figure's layout and limits must be settled. All other points keep their places exactly.
    """
    pixel = axes.figure.dpi / 72
    places = [float(axes.transData.transform((point.x, point.y))[0]) for point in points]
    moved = list(places)
    order = sorted(range(len(points)), key=lambda index: points[index].x)
    pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :] if _level(points[a], points[b])]
    for _ in range(200):  # neighbours push each other by equal parts until none is too near
        for a, b in pairs:
            push = max(0.0, APART * pixel - (moved[b] - moved[a])) / 2
            moved[a] = max(moved[a] - push, places[a] - FURTHEST * pixel)
            moved[b] = min(moved[b] + push, places[b] + FURTHEST * pixel)
    back = axes.transData.inverted()
    return [
        point if new == old else replace(point, x=float(back.transform((new, 0.0))[0]))
        for point, old, new in zip(points, places, moved, strict=True)
    ]


def _level(a: Point, b: Point) -> bool:
    """Returns whether the intervals of two points overlap."""
    return a.low <= b.high and b.low <= a.high


def place_labels(axes: Axes, points: Sequence[Point]) -> None:
    """Writes each point's name at the nearest free place around it, or else at the place where it covers least.

    The figure's layout and limits must be settled. Names are placed in the order of their points' heights.
    """
    taken = [box for point in points for box in _occupied(axes, point)]
    for point in sorted(points, key=lambda point: -point.y):
        text = axes.annotate(
            point.text, (point.x, point.y), xytext=(0, 0), textcoords="offset points", color=point.colour,
            fontsize=9.5, fontweight="bold", zorder=6, annotation_clip=False,
        )  # fmt: skip
        places = ((gap, math.radians(angle)) for gap in GAPS for angle in ANGLES)
        costs = []
        for gap, angle in places:
            costs.append((_overlap(_move(text, point.radius + gap, angle), taken, axes), gap, angle))
            if costs[-1][0] == 0:
                break
        _, gap, angle = min(costs, key=lambda cost: cost[0])
        taken.append(_move(text, point.radius + gap, angle))
        if gap >= LEADER:
            _lead(axes, point, text)


def _move(text: Annotation, distance: float, angle: float) -> Bbox:
    """Moves a text to a distance from its point, in points, and returns the pixels that the text covers there."""
    dx, dy = distance * math.cos(angle), distance * math.sin(angle)
    text.set_position((dx, dy))
    text.set_horizontalalignment("center" if abs(dx) < 2 else "left" if dx > 0 else "right")
    text.set_verticalalignment("center" if abs(dy) < 2 else "bottom" if dy > 0 else "top")
    return text.get_window_extent().padded(3.0)


def _occupied(axes: Axes, point: Point) -> list[Bbox]:
    """Returns the pixels that a point's bubble and its interval cover."""
    from matplotlib.transforms import Bbox

    assert axes.figure is not None
    radius = max(point.radius * 0.85, 4.0) * axes.figure.dpi / 72  # the corners of a circle's square are free
    (x, y), (_, low), (_, high) = axes.transData.transform([(point.x, end) for end in (point.y, point.low, point.high)])
    return [Bbox([[x - radius, y - radius], [x + radius, y + radius]]), Bbox([[x - 8, low], [x + 8, high]])]


def _overlap(box: Bbox, taken: Sequence[Bbox], axes: Axes) -> float:
    """Returns the square pixels of the box that are covered or lie outside the axes."""
    outside = box.width * box.height - _common(box, axes.bbox.frozen())
    return outside + sum(_common(box, other) for other in taken)


def _common(a: Bbox, b: Bbox) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0


def _lead(axes: Axes, point: Point, text: Annotation) -> None:
    """Draws a thin line from the point to its name."""
    axes.annotate(
        "", (point.x, point.y), xytext=text.get_position(), textcoords="offset points", zorder=3,
        arrowprops={"arrowstyle": "-", "color": point.colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4},
    )  # fmt: skip
