"""The loss and the error of a network over directions from its weights: the loss surface."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.data.preprocessing import Preprocessing
from convatlas.device import BATCH_SIZE, network_input
from convatlas.insight.landscape.directions import Directions
from convatlas.prediction import predict_logits

Statistics = Literal["fixed", "recompute"]
NORMS = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Sample:
    """The images on which losses are measured: float32 in [0, 1] (n, C, size, size), and their classes (n,)."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Sample:
        """Returns the first images."""
        return Sample(self.pixels[:count], self.labels[:count])


class Surface:
    """A network whose weights are moved from their centre, and measured there.

    It is in eval mode. With `statistics="fixed"` batch norms keep the statistics of the centre, as in the authors'
    code. With `recompute` their statistics are measured anew at each point, on the same images in equal batches, before
    the loss is. The network is changed in place.
    """

    def __init__(
        self, network: nn.Module, directions: Directions, *, preprocessing: Preprocessing, statistics: Statistics
    ) -> None:
        self.network = network.eval()
        self.vectors = directions.vectors
        self.preprocessing = preprocessing.whole
        self.centre = centre_of(network)
        self.norms = [
            module for module in network.modules() if isinstance(module, NORMS) and module.running_mean is not None
        ]
        self.statistics = statistics
        if statistics == "recompute":
            for norm in self.norms:
                norm.momentum = None  # the mean over all batches

    def measure(self, sample: Sample, x: float = 0.0, y: float = 0.0) -> tuple[float, float]:
        """Returns the loss, the mean cross entropy in nats, and the error, the part of wrong answers, at (x, y).

        A loss that is no finite number is infinity; images without finite logits count as wrong.
        """
        self.move(x, y)
        if self.statistics == "recompute":
            self._recompute(sample.pixels)
        logits = predict_logits(self.network, sample.pixels, preprocessing=self.preprocessing)
        labels = sample.labels.cpu()
        loss = float(F.cross_entropy(logits.double(), labels))
        wrong = (logits.argmax(1) != labels) | ~logits.isfinite().all(1)
        return loss if math.isfinite(loss) else math.inf, float(wrong.double().mean())

    @torch.no_grad()
    def move(self, x: float, y: float) -> None:
        """Puts the weights at a point; each point is made from the centre alone, in whichever order they come."""
        for name, parameter in self.network.named_parameters():
            moved = self.centre[name]
            for step, vector in zip((x, y), self.vectors, strict=False):
                if step and name in vector:
                    moved = torch.add(moved, vector[name], alpha=step)
            parameter.copy_(moved)

    @torch.no_grad()
    def _recompute(self, pixels: Tensor) -> None:
        """Measures the statistics of the batch norms on the images; other layers work as in evaluation."""
        for norm in self.norms:
            norm.reset_running_stats()
            norm.train()
        device = next(self.network.parameters()).device
        for part in torch.tensor_split(pixels, -(-len(pixels) // BATCH_SIZE)):
            self.network(network_input(self.preprocessing.normalize(part.to(device))))
        self.network.eval()


def centre_of(network: nn.Module) -> Mapping[str, Tensor]:
    """Returns a copy of the parameters of a network by name."""
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
