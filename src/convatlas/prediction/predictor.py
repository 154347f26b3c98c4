"""A network with all that its answers need."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from convatlas import values
from convatlas.architecture import Architecture, Weights
from convatlas.data import Images
from convatlas.data.preprocessing import Preprocessing, Rectangle
from convatlas.device import around_fault, described, keep_freed_memory, network_input, resolve_device
from convatlas.errors import UsageError
from convatlas.prediction.logits import answering, predict_logits
from convatlas.recipe import Precision
from convatlas.run import Run


@dataclass(frozen=True)
class Predictor:
    """A network in eval mode, the preprocessing its weights belong to, and what is known of its classes and data.

    `class_names` is None where the checkpoint does not say, `data` (the data set's name) likewise; `split_hash` and
    `images_hash` are known for runs. `weights` are the published ones whose layout the checkpoint has. `source` is what
    the user named, `path` the checkpoint's file. `notes` say what was assumed. `answers` is the network in the form in
    which it answers, where `to` has made it.
    """

    source: str
    path: Path
    network: nn.Module
    architecture: Architecture
    options: dict[str, Any]
    num_classes: int
    in_channels: int
    preprocessing: Preprocessing
    precision: Precision = "float32"
    class_names: tuple[str, ...] | None = None
    data: str | None = None
    split_hash: str | None = None
    images_hash: str | None = None
    weights: Weights | None = None
    notes: tuple[str, ...] = ()
    run: Run | None = field(default=None, repr=False)
    answers: nn.Module | None = field(default=None, repr=False)

    def logits(self, images: Images | Tensor) -> Tensor:
        """Images, or pixels (N, C, H, W), uint8 or floats in [0, 1] -> logits (N, num_classes), float32 on the CPU."""
        network = self.answers or answering(self.network, precision=self.precision)
        return predict_logits(network, images, preprocessing=self.preprocessing, precision=self.precision)

    def logits_of_squares(self, squares: Tensor) -> Tensor:
        """Squares as evaluation cuts them, uint8 (N, C, size, size) -> logits (N, num_classes), float32 on the CPU."""
        network = self.answers or answering(self.network, precision=self.precision)
        return predict_logits(network, squares, preprocessing=self.preprocessing.whole, precision=self.precision)

    @property
    def plain_network(self) -> nn.Module:
        """Returns the network through which gradients flow: unfolded, in float32 and eval mode, on its device.

        It maps `inputs` to logits (N, num_classes), and does not depend on the arithmetic of `logits`.
        """
        return around_fault(answering(self.network.eval(), precision="float32"))

    def inputs(self, images: Tensor) -> Tensor:
        """Returns the normalised inputs of `plain_network`: (N, C, H, W) -> (N, in_channels, size, size).

        Images are uint8, or floats in [0, 1], to which gradients flow back.

        >>> import torch
        >>> from convatlas.architectures import architecture
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
        >>> predictor = Predictor(  # as `open_predictor` gives it
        ...     "mine", Path("mine.pt"), network, architecture("lenet5"), options={}, num_classes=10, in_channels=3,
        ...     preprocessing=Preprocessing(8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        ... )
        >>> images = torch.rand(2, 3, 40, 60)
        >>> inputs = predictor.inputs(images).requires_grad_()
        >>> predictor.plain_network(inputs)[:, 7].sum().backward()
        >>> inputs.grad.shape
        torch.Size([2, 3, 8, 8])
        """
        self._check_images(images)
        parameter = next(self.network.parameters())
        return network_input(self.preprocessing(images.to(parameter.device)).to(parameter.dtype))

    def rectangle(self, images: Tensor) -> Rectangle:
        """Returns the part of images (N, C, H, W) that the network sees, in their pixels, to lay a map over them."""
        self._check_images(images)
        return self.preprocessing.rectangle(*images.shape[-2:])

    def _check_images(self, images: Tensor) -> None:
        """Raises `UsageError` for a tensor that is not a batch of images of the network's channels."""
        if images.ndim != 4 or images.shape[1] not in (1, self.in_channels):
            raise UsageError(
                f"images have the shape (N, C, H, W) and 1 or {self.in_channels} channels, not {tuple(images.shape)}"
            )

    def to(self, device: str, *, precision: str | None = None) -> Predictor:
        """Returns the same on `cpu`, `cuda` or `auto`, and in another precision than its own if one is given."""
        chosen: Precision = (
            self.precision if precision is None else values.parse(precision, Precision, name="precision")
        )
        keep_freed_memory()
        network = self.network.to(resolve_device(device))
        return dataclasses.replace(
            self, network=network, precision=chosen, answers=answering(network, precision=chosen)
        )

    @property
    def arithmetic(self) -> str:
        """Describes the device and the precision of the answers in one line."""
        return described(next(self.network.parameters()).device, self.precision)
