"""The anchors of a pyramid: at each place of each level, boxes of several sizes and shapes.

Lin et al. 2017, https://arxiv.org/abs/1708.02002, section 4, with the shapes of EfficientDet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convatlas.layers import DetectorOutput

OCTAVES = tuple(2 ** (step / 3) for step in range(3))
SHAPES = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))  # width and height


class Anchors(NamedTuple):
    """The form of the anchors: the side of the smallest square one in strides of its level, sizes and shapes."""

    scale: float = 4.0
    octaves: tuple[float, ...] = OCTAVES
    shapes: tuple[tuple[float, float], ...] = SHAPES

    def __len__(self) -> int:
        """Returns the number of anchors at each place."""
        return len(self.octaves) * len(self.shapes)

    def boxes(self, size: int, levels: Sequence[tuple[int, int]]) -> Tensor:
        """Returns the anchors (A, 4) for images of `size` pixels and levels of these heights and widths.

        Corners x1, y1, x2, y2 in pixels, float32. They are in the order of `flat_output`: by level, row, column,
        octave, shape. They may reach over the edges of the image. The stride of a level is the image's size over the
        level's.

        >>> Anchors().boxes(512, [(512 // stride, 512 // stride) for stride in (8, 16, 32, 64, 128)]).shape
        torch.Size([49104, 4])
        """
        return torch.cat([self._level(size, height, width) for height, width in levels])

    def _level(self, size: int, height: int, width: int) -> Tensor:
        down, across = size / height, size / width
        rows = torch.arange(height, dtype=torch.float64).add(0.5).mul(down)
        columns = torch.arange(width, dtype=torch.float64).add(0.5).mul(across)
        sides = [(octave * wide, octave * high) for octave in self.octaves for wide, high in self.shapes]
        halves = self.scale / 2 * torch.tensor(sides, dtype=torch.float64) * torch.tensor([across, down])
        centres = torch.stack((columns.expand(height, width), rows[:, None].expand(height, width)), dim=-1)
        corners = torch.cat((centres[:, :, None] - halves, centres[:, :, None] + halves), dim=-1)
        return corners.flatten(0, 2).float()


def anchors_of(network: nn.Module) -> Anchors:
    """Returns the form of the anchors that a registered detector's weights belong to."""
    return Anchors(float(getattr(network.get_submodule("head"), "anchor_scale", Anchors().scale)))


class Flat(NamedTuple):
    """The output of a detector for all anchors in one tensor: class logits (N, A, classes) and offsets (N, A, 4)."""

    logits: Tensor
    offsets: Tensor


def flat_output(output: DetectorOutput, *, anchors: int) -> Flat:
    """Returns the output of a network with `anchors` boxes at each place, in the order of the anchors, in float32."""

    def rows(levels: Sequence[Tensor]) -> Tensor:
        columns = levels[0].shape[1] // anchors
        return torch.cat([level.permute(0, 2, 3, 1).reshape(len(level), -1, columns) for level in levels], dim=1)

    return Flat(rows(output.logits).float(), rows(output.offsets).float())


def level_sizes(output: DetectorOutput) -> tuple[tuple[int, int], ...]:
    """Returns the height and width of each level."""
    return tuple((level.shape[-2], level.shape[-1]) for level in output.offsets)
