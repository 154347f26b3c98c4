"""The receptive fields of a network's stages, theoretical and effective, drawn on an image.

Luo, Li, Urtasun, Zemel 2016, https://arxiv.org/abs/1701.04128: a pixel at the edge of a field has few paths to the
output, a pixel in the middle many. The gradient falls off like a Gaussian, so the effective field is much smaller.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.architecture import Architecture
from convatlas.complexity import UNFIT, Axis, Fields, check_training, meta_network, network_complexity, side_of, size_of
from convatlas.data.images.image_files import read_image
from convatlas.device import around_fault
from convatlas.drawing import DPI, INK, SOFT, save
from convatlas.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOISE = 8  # images over which the gradients are averaged
# Of the largest gradient: what a Gaussian has left at two standard deviations; Luo et al., section 3.
SHARE = 1 - 0.9545
PANELS = 5
FRAME = "#E69F00"


@dataclass(frozen=True)
class SeenField:
    """The field of the value in the middle of a stage's output.

    `rows` and `columns` are the theoretical field, in pixels of the image and beyond it, where the padding is;
    `gradient` (H, W) is the mean effect of each pixel, 1 at most.
    """

    stage: str
    rows: tuple[int, int]
    columns: tuple[int, int]
    gradient: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Returns the rows and columns of the theoretical field."""
        return self.rows[1] - self.rows[0] + 1, self.columns[1] - self.columns[0] + 1

    @property
    def effective_size(self) -> float:
        """The side of a square of as many pixels as have more than 4.55 % of the largest effect, in pixels."""
        return float(np.sqrt((self.gradient > SHARE).sum()))


def fields_seen(row: Architecture, *, image_size: int | None = None, seed: int = 0, **options: Any) -> list[SeenField]:
    """Returns the fields of the stages that have rows and columns, with new weights drawn from `seed`.

    The gradient of the middle of the output, the mean of all channels, with respect to images of noise; its root mean
    square over these and their channels. Norms have the statistics of the same images.
    Raises `UsageError` for an image that the network does not take.
    """
    channels, size = options.get("in_channels", row.in_channels), image_size or row.image_size
    outline = meta_network(row, **options)
    counted = network_complexity(row, outline, in_channels=channels, image_size=size)
    check_training(row, outline, in_channels=channels, image_size=size, images=NOISE)
    stages = [part.name for part in counted.network.parts if part.works and len(part.shape) == 3]
    places = _places(outline.eval(), channels, size, stages)
    if not places:
        raise UsageError(
            f"{row.name} has no stage with rows and columns whose field is known, so that there is no field to draw"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = row.build(**options)
        images = torch.randn(NOISE, channels, size, size)
        _calibrate(network, images)
    try:
        gradients = _gradients(network, images, list(places))
    except UNFIT as error:
        raise UsageError(f"no gradient reaches the image through {row.name}: {error}") from error
    return [
        SeenField(stage, rows.span(height // 2), columns.span(width // 2), gradients[stage])
        for stage, (rows, columns, height, width) in places.items()
    ]


def _places(network: nn.Module, channels: int, size: int, stages: list[str]) -> dict[str, tuple[Axis, Axis, int, int]]:
    """Returns the field, the rows and the columns of each stage that has several of them and a known field."""
    image = torch.empty(1, channels, size, size, device="meta")
    fields = Fields(image)
    places: dict[str, tuple[Axis, Axis, int, int]] = {}

    def note(stage: str, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[-2:].numel() > 1:
            seen = fields.of(output)
            if seen is not None:
                places[stage] = (*seen, output.shape[-2], output.shape[-1])

    with _watched(network, stages, note), fields, torch.no_grad():
        network(image)
    return places


@contextmanager
def _watched(network: nn.Module, stages: list[str], note: Any) -> Iterator[None]:
    """Calls `note` with the name and the output of each stage while the network works."""
    hooks = [
        network.get_submodule(stage).register_forward_hook(lambda _m, _inputs, output, stage=stage: note(stage, output))
        for stage in stages
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _calibrate(network: nn.Module, images: Tensor) -> None:
    """Gives the norms the statistics of the images, and leaves the network in eval mode."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    if norms:
        with torch.no_grad():
            network(images)
    network.eval()


def _gradients(network: nn.Module, images: Tensor, stages: list[str]) -> dict[str, np.ndarray]:
    """Returns the effect of each pixel (H, W) on the middle of each stage's output, 1 at most."""
    outputs: dict[str, Tensor] = {}

    def note(stage: str, output: object) -> None:
        if isinstance(output, Tensor):
            outputs[stage] = output.clone()  # what follows may work in place

    images = images.requires_grad_()
    with _watched(around_fault(network), stages, note):
        network(images.clone())  # so that a network may change its input in place
    found = {}
    for stage, output in outputs.items():
        middle = output[..., output.shape[-2] // 2, output.shape[-1] // 2].mean(1).sum()
        (gradient,) = torch.autograd.grad(middle, images, retain_graph=True)
        effect = gradient.double().square().mean((0, 1)).sqrt()
        found[stage] = (effect / effect.max().clamp(min=1e-300)).numpy()
    return found


def draw_fields(fields: list[SeenField], path: Path, *, name: str, photo: Path | None = None) -> None:
    """Draws theoretical and effective fields of up to five stages on a photograph, as a PNG."""
    from matplotlib.figure import Figure

    chosen = [fields[round(index)] for index in np.linspace(0, len(fields) - 1, min(PANELS, len(fields)))]
    picture = _photo(photo, chosen[0].gradient.shape)
    figure = Figure(figsize=(3.1 * max(len(chosen), 2), 4.35), dpi=DPI, layout="constrained")
    for axes, field in zip(np.atleast_1d(figure.subplots(1, len(chosen))), chosen, strict=True):
        _draw(axes, field, picture)
    size = size_of(chosen[0].gradient.shape)
    figure.suptitle(f"{name}: what the middle of each stage sees of {size} pixels", color=INK, fontsize=12)
    note = "frame: theoretical field; light: what counts, by the gradient of untrained weights (Luo et al. 2016)"
    figure.supxlabel(note, color=SOFT, fontsize=9)
    save(figure, path)


def _photo(path: Path | None, size: tuple[int, ...]) -> np.ndarray:
    """Returns a photograph (H, W, 3) of this size, values from 0 to 1: a file, or the one that scikit-learn ships."""
    if path is None:
        from sklearn.datasets import load_sample_image

        image = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)
    else:
        image = read_image(path, channels=3)[0]
    side = min(image.shape[-2:])
    top, left = (image.shape[-2] - side) // 2, (image.shape[-1] - side) // 2
    square = image[None, :, top : top + side, left : left + side].float() / 255
    resized = nn.functional.interpolate(square, size=size, mode="bilinear", antialias=True, align_corners=False)
    return resized[0].permute(1, 2, 0).clamp(0, 1).numpy()


def _smooth(effect: np.ndarray) -> np.ndarray:
    """Returns the means around each pixel of a large image, in which single pixels would tear the contour."""
    around = min(effect.shape) // 64
    padded = nn.functional.pad(torch.from_numpy(effect)[None, None], (around,) * 4, mode="replicate")
    return nn.functional.avg_pool2d(padded, 2 * around + 1, stride=1)[0, 0].numpy()


def _draw(axes: Axes, field: SeenField, picture: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    height, width = field.gradient.shape
    grey = picture.mean(2, keepdims=True).repeat(3, 2)
    light = (field.gradient**0.5)[..., None]
    axes.imshow(0.35 * grey * (1 - light) + picture * light, interpolation="nearest")
    axes.contour(_smooth(field.gradient), levels=[SHARE], colors="white", linewidths=1.1)
    (top, bottom), (left, right) = field.rows, field.columns
    edge = max(height, width) * 0.012
    inner = [max(left, 0) - 0.5 + edge / 2, max(top, 0) - 0.5 + edge / 2]
    outer = [min(right, width - 1) + 0.5 - edge / 2, min(bottom, height - 1) + 0.5 - edge / 2]
    frame = Rectangle((inner[0], inner[1]), outer[0] - inner[0], outer[1] - inner[1], fill=False, lw=2, ec=FRAME)
    axes.add_patch(frame)
    axes.set_xticks([])
    axes.set_yticks([])
    rows, columns = field.size
    beyond = ", beyond the image" if rows > height or columns > width else ""
    axes.set_title(field.stage, color=INK, fontsize=11)
    theory = f"theoretical {side_of(field.size)} pixels{beyond}"
    axes.set_xlabel(f"{theory}\neffective {field.effective_size:.0f} pixels", color=SOFT, fontsize=9)
