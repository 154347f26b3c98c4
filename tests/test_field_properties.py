"""Receptive fields against gradients, on small networks that are put together at random from a seed."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.complexity import Axis, Fields

Step = Callable[[Tensor], Tensor]
SEEDS, NETWORKS = 4, 50
KNOWN = 0.4  # of the networks, at least; a test of fields that are not known would test nothing


def convolution(draw: random.Random, channels: int, size: int) -> Step:
    """Any that keeps at least a value; of as many channels as rows now and then, where shapes can be mistaken."""
    kernel, dilation = draw.randint(1, 4), draw.randint(1, 2)
    mode = draw.choice(("zeros", "zeros", "reflect", "replicate", "circular"))
    return nn.Conv2d(
        channels,
        draw.choice((1, 2, size)),
        (kernel, draw.randint(1, 3)),
        stride=draw.randint(1, 2),
        padding=draw.randint(0, min(3, size - 1)),
        dilation=dilation,
        padding_mode=mode,
    )


def pooling(draw: random.Random, size: int) -> Step:
    kernel = draw.randint(1, 3)
    options = {"stride": draw.randint(1, 3), "padding": draw.randint(0, kernel // 2), "ceil_mode": draw.random() < 0.5}
    return draw.choice((nn.MaxPool2d, nn.AvgPool2d))(kernel, **options)


def adaptive(draw: random.Random, size: int) -> Step:
    sides = draw.randint(1, size), draw.randint(1, size)
    return draw.choice((nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d))(sides)


def padding(draw: random.Random, size: int) -> Step:
    mode = draw.choice(("constant", "reflect", "replicate", "circular"))
    least = -2 if mode == "constant" else 0
    sides = [draw.randint(least, min(7, size - 1)) for _ in range(4)]
    return lambda x: F.pad(x, sides, mode=mode)


def cut(draw: random.Random, size: int) -> Step:
    first, last, step = draw.randint(-3, 3), draw.randint(1, size), draw.randint(1, 3)
    return draw.choice((lambda x: x[:, :, first::step], lambda x: x[..., :last:step], lambda x: x[:, :, 1:, :-1]))


def moved(draw: random.Random) -> Step:
    """What moves dimensions, or takes them away."""
    row = draw.randint(0, 3)
    return draw.choice(
        (
            lambda x: x.transpose(1, 2),
            lambda x: x.transpose(2, 3),
            lambda x: x.permute(0, 2, 3, 1),
            lambda x: x.mean(3).unsqueeze(1),
            lambda x: x.mean(2, keepdim=True),
            lambda x: x.sum(1, keepdim=True),
            lambda x: x.amax(2).unsqueeze(-1),
            lambda x: x.select(2, row).unsqueeze(1),
            lambda x: x.select(3, row).unsqueeze(-1),
            lambda x: torch.stack(x.unbind(3), 2),
            lambda x: torch.stack([x[:, 0], x[:, 0]], -1),
            lambda x: x.flatten(2).unflatten(2, x.shape[2:]),
            lambda x: x.reshape(x.shape[0], -1, x.shape[3], 1),
            lambda x: x.reshape(1, 1, -1, x.shape[3]),
            lambda x: x.unsqueeze(1).flatten(0, 1),
            lambda x: x.contiguous(memory_format=torch.channels_last).transpose(2, 3),
            lambda x: x.chunk(2, 2)[-1],
            lambda x: x.flip(2),
            lambda x: x.roll(1, 3),
            lambda x: F.interpolate(x, scale_factor=2),
            lambda x: F.pixel_shuffle(torch.cat([x] * 4, 1), 2),
            lambda x: x.cumsum(2),
        )
    )


def written(draw: random.Random) -> Step:
    """What is written in place, to a part or to another view of the values."""

    def shifted(x: Tensor) -> Tensor:
        copied = x.clone()
        copied[:, :, 1:] += x[:, :, :-1]
        return copied

    def turned(x: Tensor) -> Tensor:
        copied = x.clone()
        copied.transpose(2, 3).add_(x)
        return copied

    return draw.choice((shifted, turned, lambda x: F.relu(x.clone(), inplace=True)))


def random_step(draw: random.Random, channels: int, size: int) -> Step:
    kinds = (
        lambda: convolution(draw, channels, size), lambda: convolution(draw, channels, size),
        lambda: pooling(draw, size), lambda: adaptive(draw, size), lambda: padding(draw, size),
        lambda: cut(draw, size), lambda: moved(draw), lambda: written(draw), lambda: nn.GELU(),
        lambda: nn.BatchNorm2d(channels), lambda: nn.LocalResponseNorm(2), lambda: nn.ChannelShuffle(channels),
    )  # fmt: skip
    return draw.choices(kinds, weights=(4, 4, 3, 3, 3, 2, 2, 1, 1, 1, 1, 1))[0]()


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step

    def forward(self, images: Tensor) -> Tensor:
        return self.step(images)


class Branches(nn.Module):
    """The sum, the product or the concatenation of what two chains give."""

    def __init__(self, draw: random.Random, image: Tensor) -> None:
        super().__init__()
        self.first, self.second = (chain(draw, image, length=draw.randint(0, 3)) for _ in range(2))
        self.joined = draw.choice(
            (torch.add, torch.mul, lambda a, b: torch.cat([a, b], 1), lambda a, b: torch.cat([a, b], 2))
        )

    def forward(self, images: Tensor) -> Tensor:
        joined: Tensor = self.joined(self.first(images), self.second(images))
        return joined


def chain(draw: random.Random, image: Tensor, *, length: int) -> nn.Sequential:
    """Steps that fit on an image, each on what the one before gives."""
    steps = nn.Sequential()
    for _ in range(40):
        if len(steps) >= length:
            break
        step = (
            Branches(draw, image) if draw.random() < 0.15 else random_step(draw, image.shape[1], min(image.shape[2:]))
        )
        step = (step if isinstance(step, nn.Module) else Function(step)).eval()
        try:
            with torch.no_grad():
                made = step(image)
        except (RuntimeError, ValueError, IndexError):
            continue
        if made.ndim == 4 and 0 < made.numel() < 5000:
            steps.append(step)
            image = made
    return steps


def positions(draw: random.Random, sides: Sequence[int]) -> list[tuple[int, int]]:
    """The ends, what is beside them, the middle, and another."""
    rows, columns = ({0, 1, side // 2, side - 1, draw.randrange(side)} & set(range(side)) for side in sides)
    return list(product(sorted(rows), sorted(columns)))


def assert_within(axis: Axis, index: int, reached: Tensor) -> None:
    """All that the gradient reaches, of rows or columns, is seen, and is no more than the size."""
    places = reached.nonzero().flatten().tolist()
    if places:
        first, last = axis.seen(index, len(reached))
        assert first <= places[0] <= places[-1] <= last, f"value {index} sees {places}, not {first} to {last}"
        assert places[-1] - places[0] < axis.size, f"value {index} sees {places}, not {axis.size} pixels"


def random_network(seed: int) -> tuple[nn.Sequential, Tensor]:
    """A network in float64 and images for it."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    height = draw.randint(8, 14)
    pixels = torch.rand(1, draw.choice((1, 2, height)), height, draw.choice((height, height + 3)))
    return chain(draw, pixels, length=draw.randint(1, 5)), pixels


def fields_of(network: nn.Module, image: Tensor) -> tuple[Axis, Axis] | None:
    """The fields as `convatlas show` finds them, on the meta device; none where it says that they leave means out."""
    image = image.detach().to("meta")
    fields = Fields(image)
    with torch.no_grad(), torch.device("meta"), fields:
        found = fields.of(copy.deepcopy(network).to("meta")(image))
    return None if fields.gathers else found


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_gradient_reaches_beyond_the_field(seed: int, float64: None) -> None:
    known = 0
    for number in range(NETWORKS):
        network, pixels = random_network(seed * NETWORKS + number)
        found = fields_of(network, pixels)
        if found is None:
            continue
        known += 1
        pixels.requires_grad_()
        output = network(pixels)
        for row, column in positions(random.Random(number), output.shape[-2:]):
            (gradient,) = torch.autograd.grad(output[..., row, column].sum(), pixels, retain_graph=True)
            reached = (gradient[0] != 0).any(0)
            try:
                assert_within(found[0], row, reached.any(1))
                assert_within(found[1], column, reached.any(0))
            except AssertionError as error:
                raise AssertionError(f"network {number}: {network}: {error}") from error
    assert known > KNOWN * NETWORKS
