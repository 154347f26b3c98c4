"""The place of an image, and of its boxes, in the square that a detector sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from convatlas.data.boxes.truth import Boxes

LEAST = 2  # pixels of a resized side: one column of uint8 PyTorch computes wrongly
Window = tuple[int, int, int, int]
"""A part of the square in whole pixels: left, top, right, bottom."""


@dataclass(frozen=True)
class Placement:
    """The place of an image of `width` x `height` pixels in the square.

    The image is mirrored left to right where it is `mirrored`, then resized to `columns` x `rows` pixels. Its upper
    left corner lies at `left`, `top` of the square, which is outside where the image is cut. It fills no more of the
    square than `window`.
    """

    width: int
    height: int
    columns: int
    rows: int
    window: Window
    left: int = 0
    top: int = 0
    mirrored: bool = False

    def forward(self, corners: np.ndarray) -> np.ndarray:
        """Returns corners (n, 4) in pixels of the image as corners in pixels of the square, uncut, in float64.

        >>> fitted(200, 100, size=50).forward(np.array([[20.0, 0, 100, 100]])).tolist()
        [[5.0, 0.0, 25.0, 25.0]]
        """
        moved: np.ndarray = self._turned(np.asarray(corners, np.float64)) * self._factors + self._corner
        return moved

    def backward(self, corners: np.ndarray) -> np.ndarray:
        """Returns corners (n, 4) in pixels of the square as corners in pixels of the image, uncut, in float64.

        >>> fitted(200, 100, size=50).backward(np.array([[5.0, 0, 25, 25]])).tolist()
        [[20.0, 0.0, 100.0, 100.0]]
        """
        return self._turned((np.asarray(corners, np.float64) - self._corner) / self._factors)

    def visible(self, boxes: Boxes) -> tuple[Boxes, np.ndarray]:
        """Returns the boxes of the image in the square, cut to what is seen of it, and the places of those that remain.

        A box of which nothing is seen does not remain.
        """
        left, top, right, bottom = self.window
        corners = self.forward(boxes.corners).clip((left, top, left, top), (right, bottom, right, bottom))
        corners = corners.astype(np.float32)
        there = np.flatnonzero((corners[:, 2:] > corners[:, :2]).all(1))
        return Boxes(corners[there], boxes.labels[there], boxes.difficult[there], right, bottom), there

    @property
    def _factors(self) -> np.ndarray:
        across, down = self.columns / self.width, self.rows / self.height
        return np.array([across, down, across, down])

    @property
    def _corner(self) -> np.ndarray:
        return np.array([self.left, self.top, self.left, self.top])

    def _turned(self, corners: np.ndarray) -> np.ndarray:
        if not self.mirrored:
            return corners
        turned: np.ndarray = corners[:, [2, 1, 0, 3]]
        turned[:, [0, 2]] = self.width - turned[:, [0, 2]]
        return turned


def fitted(width: int, height: int, *, size: int) -> Placement:
    """Returns the place that evaluation gives an image: its longer side is as long as the square's, its corner there.

    >>> place = fitted(640, 480, size=512)
    >>> place.columns, place.rows
    (512, 384)
    """
    return scaled(width, height, longer=size, window=(0, 0, size, size))


def scaled(
    width: int, height: int, *, longer: int, window: Window, cut: tuple[float, float] = (0, 0), mirrored: bool = False
) -> Placement:
    """Returns the place of an image whose longer side becomes `longer` pixels, its corner that of the window.

    Where it is larger than the window, `cut` says how much of the surplus lies left of the window and above it, from 0
    to 1.
    """
    columns, rows = (max(LEAST, longer * side // max(width, height)) for side in (width, height))
    left, top, right, bottom = window
    surplus = max(0, columns - (right - left)), max(0, rows - (bottom - top))
    across, down = (int(part * pixels) for part, pixels in zip(cut, surplus, strict=True))
    return Placement(width, height, columns, rows, window, left - across, top - down, mirrored)


def put(pixels: np.ndarray, placement: Placement, square: np.ndarray) -> None:
    """Resizes an image uint8 (H, W, 3), bilinearly and antialiased, and copies what is seen of it into the square.

    The rest of the square uint8 (size, size, 3) stays as it is.
    """
    images = torch.from_numpy(np.ascontiguousarray(pixels)).unsqueeze(0).permute(0, 3, 1, 2)
    size = (placement.rows, placement.columns)
    if images.shape[-2:] != size:
        images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
    resized = images[0].permute(1, 2, 0).numpy()
    if placement.mirrored:
        resized = resized[:, ::-1]
    left, top, right, bottom = placement.window
    first, above = max(left, placement.left), max(top, placement.top)
    seen = resized[above - placement.top : bottom - placement.top, first - placement.left : right - placement.left]
    square[above : above + seen.shape[0], first : first + seen.shape[1]] = seen
