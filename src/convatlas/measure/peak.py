"""The fastest arithmetic of this machine, as a measure for networks: square matrix products and 3x3 convolutions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from convatlas.device import network_input
from convatlas.recipe import Precision

MATRIX_PRODUCT, CONVOLUTION = "matrix product", "3x3 convolution"
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bf16": torch.bfloat16}
MATRIX = {"cpu": 2048, "cuda": 8192}  # rows and columns, so many that all units of the device have work
IMAGES = {"cpu": 16, "cuda": 256}
SHAPES = ((64, 56), (128, 28), (256, 14))  # channels and pixels of the 3x3 convolutions of a ResNet; all of equal FLOPs


@dataclass(frozen=True)
class Work:
    """One measured work: the call, its FLOPs and the number of its images."""

    run: Callable[[], object]
    flops: int
    images: int = 0


def peak_works(device: str, precision: Precision) -> dict[str, Work]:
    """Returns the matrix product and the convolutions that are measured, by their names."""
    size = MATRIX[device]
    works = {f"{MATRIX_PRODUCT} of {size} x {size}": _matrix_product(size, device=device, dtype=DTYPES[precision])}
    for channels, pixels in SHAPES:
        works[f"{CONVOLUTION} of {channels} x {pixels} x {pixels}"] = _convolution(
            channels, pixels, device=device, dtype=DTYPES[precision]
        )
    return works


def _matrix_product(size: int, *, device: str, dtype: torch.dtype) -> Work:
    """Returns the product of two matrices (size, size), written into memory that exists already."""
    left, right = (torch.randn(size, size).to(device, dtype) for _ in range(2))
    result = torch.empty_like(left)

    def run() -> None:
        torch.mm(left, right, out=result)

    return Work(run, 2 * size**3)


def _convolution(channels: int, pixels: int, *, device: str, dtype: torch.dtype) -> Work:
    """Returns a padded convolution that keeps the number of channels, channels last in memory."""
    count = IMAGES[device]
    images = network_input(torch.randn(count, channels, pixels, pixels).to(device, dtype))
    weight = network_input(torch.randn(channels, channels, 3, 3).to(device, dtype))

    def run() -> None:
        with torch.inference_mode():
            F.conv2d(images, weight, padding=1)

    return Work(run, 2 * count * pixels**2 * channels**2 * 9)
