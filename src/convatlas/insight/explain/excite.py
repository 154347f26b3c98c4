"""Activation maximisation: the pictures that excite a class or a channel most.

Olah et al. 2017, https://distill.pub/2017/feature-visualization: gradient ascent on the frequencies of a picture
(`spectrum`), which is moved at random in every step. The picture's variation (Mahendran and Vedaldi 2015,
https://arxiv.org/abs/1412.0035) keeps noise away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor, nn

from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.insight.explain.asking import class_index, class_title
from convatlas.insight.explain.features import outputs_of, unknown_stage
from convatlas.insight.explain.methods import PIXELS
from convatlas.insight.explain.spectrum import Palette, first_spectrum, moved, picture_of
from convatlas.prediction import Predictor
from convatlas.progress.counting import Watch, unwatched

STEPS = 192
MOST_STEPS = 4096
RATE = 0.2  # of the first step; it falls to 0
SMOOTHNESS = 0.008  # weight of the variation, for a pixel of the side and a unit of the value
RAISED = 1.5  # times the largest value of a real image, from which on a picture counts as exciting


@dataclass(frozen=True)
class Target:
    """A class, or a channel of the output of a module, whose mean value is raised."""

    title: str
    index: int
    stage: str | None = None

    def values(self, logits: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """Returns the value (N,) for each image, of logits (N, classes) or of the stage's output (N, C, ...)."""
        found = logits if self.stage is None else outputs[self.stage]
        return found[:, self.index].flatten(1).mean(1) if found.ndim > 2 else found[:, self.index]


@dataclass(frozen=True)
class Excited:
    """A picture (C, size, size), values from 0 to 1, and the target's value of the start, of it, and of real images.

    `real` is the largest value among real images, None where there are none.
    """

    target: Target
    picture: Tensor
    start: float
    end: float
    real: float | None

    @property
    def times(self) -> float | None:
        """The value as a multiple of that of real images; None where there are none, or theirs is not positive."""
        return self.end / self.real if self.real is not None and self.real > 0 else None


def targets_of(predictor: Predictor, network: nn.Module, words: Sequence[str]) -> list[Target]:
    """Returns the target of each word: a class, or `STAGE:CHANNEL`. Raises `UsageError` for one that there is not."""
    if predictor.in_channels not in (1, 3):
        raise UsageError(f"--excite draws pictures of 1 or 3 channels; the network takes {predictor.in_channels}")
    found, names = [], [name.lower() for name in predictor.class_names or ()]
    for word in dict.fromkeys(words):
        stage, colon, channel = word.rpartition(":")
        if not colon or word.lower() in names:
            index = class_index(predictor, word)
            found.append(Target(class_title(predictor, index), index))
        else:
            found.append(_channel(predictor, network, stage, channel))
    return found


def _channel(predictor: Predictor, network: nn.Module, stage: str, channel: str) -> Target:
    """Returns the target of a channel. Raises `UsageError` for an unknown stage or channel."""
    size = predictor.preprocessing.image_size
    probe = torch.zeros(1, predictor.in_channels, size, size, device=next(network.parameters()).device)
    names = [name for name, _ in network.named_modules() if name]
    shapes = {name: output.shape for name, output in outputs_of(network, probe, names)[1].items()}
    if stage not in shapes:
        raise unknown_stage(network, stage, list(shapes))
    channels = shapes[stage][1]
    if not channel.isdecimal() or int(channel) >= channels:
        raise UsageError(f"unknown channel {channel!r} of {stage}: give a number from 0 to {channels - 1}")
    return Target(f"{stage}, channel {int(channel)}", int(channel), stage)


@dataclass(frozen=True)
class Ascent:
    """A network in eval mode, the preprocessing of its pictures, their colours, the number of steps and the seed."""

    network: nn.Module
    preprocessing: Preprocessing
    palette: Palette
    steps: int = STEPS
    seed: int = 0


def excite(
    ascent: Ascent, targets: Sequence[Target], *, real: Iterable[Tensor] = (), watch: Watch = unwatched
) -> list[Excited]:
    """Returns a picture for each target. `real` are batches of real images as inputs (N, C, size, size).

    The same seed gives the same picture, whatever the other targets are. Raises `UsageError` for a value that is not
    finite.
    """
    largest = _largest(ascent.network, targets, real)
    chunk = max(1, PIXELS // 4 // ascent.preprocessing.image_size**2)
    parts = [targets[at : at + chunk] for at in range(0, len(targets), chunk)]
    done, total = count(), ascent.steps * len(parts)
    found: list[Excited] = []
    for part in parts:
        ended = _ascended(ascent, part, tell=lambda: watch(next(done), total))
        pictures = [picture_of(each, ascent.palette) for each in (_start(ascent, part), ended)]
        values = [_values(ascent.network, ascent.preprocessing.normalize(each), part).tolist() for each in pictures]
        for target, picture, begin, end in zip(part, pictures[1], *values, strict=True):
            found.append(Excited(target, picture.cpu(), begin, end, largest[len(found)]))
    return found


def _start(ascent: Ascent, targets: Sequence[Target]) -> Tensor:
    """Returns the first frequencies, the same for each target."""
    channels, size = len(ascent.preprocessing.mean), ascent.preprocessing.image_size
    drawn = first_spectrum(channels, size, generator=torch.Generator().manual_seed(ascent.seed))
    return drawn.repeat(len(targets), 1, 1, 1, 1).to(next(ascent.network.parameters()).device)


def _ascended(ascent: Ascent, targets: Sequence[Target], *, tell: Callable[[], None]) -> Tensor:
    """Returns the frequencies after the steps. Where a target does not change at all, they are pushed at random."""
    spectrum = _start(ascent, targets).requires_grad_()
    generator = torch.Generator().manual_seed(ascent.seed + 1)
    optimizer = torch.optim.Adam([spectrum], lr=RATE)
    for step in range(ascent.steps):
        tell()
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / ascent.steps)
        pictures = picture_of(spectrum, ascent.palette)
        values = _values(ascent.network, moved(ascent.preprocessing.normalize(pictures), generator), targets)
        loss = values.detach().abs() * SMOOTHNESS * _variation(pictures) - values
        (spectrum.grad,) = torch.autograd.grad(loss.sum(), spectrum)
        still = spectrum.grad.flatten(1).abs().sum(1) == 0
        optimizer.step()
        with torch.no_grad():
            push = RATE * torch.randn(spectrum.shape[1:], generator=generator).to(spectrum)
            spectrum[still] += push
    return spectrum.detach()


def _variation(pictures: Tensor) -> Tensor:
    """Returns the mean difference (N,) of neighbouring pixels of pictures (N, C, size, size), for the whole side."""
    down, right = pictures.diff(dim=2).abs().mean((1, 2, 3)), pictures.diff(dim=3).abs().mean((1, 2, 3))
    return (down + right) * pictures.shape[-1]


def _values(network: nn.Module, inputs: Tensor, targets: Sequence[Target]) -> Tensor:
    """Returns the value (N,) of each input (N, C, size, size) for its own target."""
    logits, outputs = outputs_of(network, inputs, _stages(targets))
    values = torch.stack([target.values(logits, outputs)[place] for place, target in enumerate(targets)])
    if not bool(values.isfinite().all()):
        raise UsageError(f"{targets[0].title} has no finite value; the network has diverged")
    return values


def _stages(targets: Sequence[Target]) -> list[str]:
    """Returns the stages of targets, each once."""
    return list(dict.fromkeys(target.stage for target in targets if target.stage is not None))


def _largest(network: nn.Module, targets: Sequence[Target], real: Iterable[Tensor]) -> list[float | None]:
    """Returns the largest value of each target among real images, None without images."""
    largest: list[float | None] = [None] * len(targets)
    with torch.no_grad():
        for inputs in real:
            logits, outputs = outputs_of(network, inputs, _stages(targets))
            for place, target in enumerate(targets):
                value, before = float(target.values(logits, outputs).max()), largest[place]
                largest[place] = value if before is None else max(value, before)
    return largest
