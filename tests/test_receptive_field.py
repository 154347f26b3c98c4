"""Receptive fields: published ones, by hand, and as gradients have them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas import create
from convatlas.architectures.bit.blocks import StandardizedConv2d
from convatlas.cli import main
from convatlas.complexity import Axis, Fields
from convatlas.layers import SqueezeExcite
from counted import Counted


def field_of(network: nn.Module, image: Tensor) -> tuple[Axis, Axis]:
    fields = Fields(image)
    with torch.no_grad(), fields:
        output = network(image)
    found = fields.of(output)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "stage", "size", "stride"),
    [
        ("alexnet", "stage2", 195, 32),
        ("vgg16", "stage5", 212, 32),
        ("resnet50_v1", "stage4", 483, 32),
        ("resnet101_v1", "stage4", 1027, 32),
        ("resnet152_v1", "stage4", 1507, 32),
        ("inception_v3", "stage3", 1311, 32),
    ],
)
def test_published_fields(counted: Callable[[str], Counted], name: str, stage: str, size: int, stride: int) -> None:
    """Araujo, Norris and Sim 2019, https://distill.pub/2019/computing-receptive-fields, table of networks."""
    (part,) = [part for part in counted(name).complexity.stages if part.name == stage]
    assert (part.receptive_field, part.stride) == ((size, size), (stride, stride))


def test_fields_by_hand() -> None:
    """Rows: 3, then 3 at stride 2 (5), then 3 of dilation 2 at twice the distance (13). Columns: a window of 1 x 5."""
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.MaxPool2d((3, 1), stride=(2, 1), padding=(1, 0)),
        nn.Conv2d(2, 2, (3, 1), dilation=(2, 1)),
        nn.ZeroPad2d((1, 0, 2, 0)),
        nn.AvgPool2d((1, 5), stride=1),
    )
    rows, columns = field_of(network, torch.empty(1, 1, 40, 40, device="meta"))
    assert (rows.size, rows.stride, columns.size, columns.stride) == (13, 2, 7, 1)
    assert (rows.low, columns.low) == (-2 - 2 * 2, -1 - 1)
    assert rows.seen(3, 40) == (0, 12)


def test_a_gate_of_the_whole_image_does_not_count() -> None:
    class Gated(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images * images.mean((2, 3), keepdim=True)

    rows, _ = field_of(nn.Sequential(nn.Conv2d(1, 1, 3), Gated()), torch.empty(1, 1, 8, 8, device="meta"))
    assert (rows.low, rows.high) == (0, 2)
    rows, columns = field_of(nn.AdaptiveAvgPool2d(1), torch.empty(1, 1, 8, 6, device="meta"))
    assert (rows.seen(0, 8), columns.seen(0, 6)) == ((0, 7), (0, 5))


def written(x: Tensor) -> Tensor:
    """A sum of rows that is written in place."""
    copied = x.clone()
    copied[:, :, 2:].add_(x[:, :, :-2])
    return copied


def turned(x: Tensor) -> Tensor:
    """A sum that is written through another view, of the same sizes."""
    copied = x.clone()
    copied.transpose(2, 3).add_(x)
    return copied


def window(size: int = 3, **options: int) -> Callable[[Tensor], Tensor]:
    """A convolution of equal weights."""
    return lambda x: F.conv2d(x, torch.ones(1, 1, size, size, dtype=x.dtype, device=x.device), **options)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: window()(F.pad(x, (2, 2, 2, 2), mode="reflect")),
        lambda x: window()(F.pad(x, (2, 1, 0, 1), mode="replicate")),
        lambda x: window()(F.pad(x, (-2, 1, 3, -1))),
        lambda x: window(stride=2)(F.pad(x, (0, 1, 0, 1))),
        lambda x: window(padding=1)(F.avg_pool2d(x, 3, 2, ceil_mode=True)),
        lambda x: torch.cat([window(stride=2, padding=1)(x), F.avg_pool2d(x, 2)], 1).sum(1, keepdim=True),
        lambda x: window(dilation=3, padding=3)(window(stride=2)(x)),
        lambda x: window()(x[:, :, ::2, 1::2]),
        lambda x: window()(x.narrow(2, 4, 20)),
        lambda x: x * window(padding=1)(x),
        lambda x: F.adaptive_avg_pool2d(window(padding=1)(x), 8),
        lambda x: F.lp_pool2d(x, 1, 3, 2),
        lambda x: window()(torch.stack([x, x], 1).sum(1)),
        lambda x: window()(x.squeeze(0)[:, 2:, 3:].unsqueeze(0)),
    ],
)
def test_gradients_of_functions_reach_exactly_the_field(function: Callable[[Tensor], Tensor]) -> None:
    image = torch.empty(1, 1, 32, 32, device="meta")
    fields = Fields(image)
    with torch.no_grad(), fields:
        found = fields.of(function(image))
    assert found is not None
    pixels = torch.ones(1, 1, 32, 32, dtype=torch.float64, requires_grad=True)
    output = function(pixels)
    middle = [size // 2 for size in output.shape[-2:]]
    (gradient,) = torch.autograd.grad(output[0, :, middle[0], middle[1]].sum(), pixels)
    for axis, place, dim in zip(found, middle, (1, 0), strict=True):
        reached = (gradient[0, 0] != 0).any(dim).nonzero().flatten().tolist()
        assert (reached[0], reached[-1]) == axis.seen(place, 32)


def reached_by(function: Callable[[Tensor], Tensor], pixels: int) -> list[tuple[int, int]]:
    """The first and last row on which each row of an output depends, by its gradient."""
    image = torch.rand(1, 1, pixels, pixels, dtype=torch.float64, requires_grad=True)
    found = []
    for row in function(image).sum((0, 1, 3)):
        (gradient,) = torch.autograd.grad(row, image, retain_graph=True)
        places = (gradient[0, 0] != 0).any(1).nonzero().flatten().tolist()
        found.append((places[0], places[-1]))
    return found


@pytest.mark.parametrize(
    ("function", "size", "stride"),
    [
        (lambda x: F.adaptive_avg_pool2d(x, 6), 8, 40 / 6),
        (lambda x: window()(F.adaptive_avg_pool2d(x, 6)), 21, 40 / 6),
        (lambda x: window(2)(F.adaptive_avg_pool2d(window(padding=1)(x), 7)), 15, 40 / 7),
        (lambda x: F.adaptive_avg_pool2d(x[:, :, :39, :39], 26), 2, 1.5),
        (lambda x: F.adaptive_avg_pool2d(x, 8), 5, 5),
        (lambda x: F.adaptive_avg_pool2d(window(2, stride=2)(x), 3), 16, 40 / 3),
        (lambda x: window()(F.pad(x, (5,) * 4, mode="reflect")), 3, 1),
        (lambda x: window(1)(F.pad(x, (5, 0, 5, 0), mode="reflect")), 1, 1),
        (lambda x: window(5, dilation=2, stride=3)(F.pad(x, (9,) * 4, mode="reflect")), 9, 3),
        (lambda x: window()(F.pad(x, (7,) * 4, mode="replicate")), 3, 1),
        (lambda x: window()(F.pad(window()(F.pad(x, (1,) * 4, mode="reflect")), (1,) * 4, mode="reflect")), 5, 1),
        (lambda x: window()(F.pad(window(stride=2)(x), (4,) * 4, mode="reflect")), 7, 2),
        (lambda x: window(2)(F.pad(window()(x), (4, 0, 4, 0), mode="replicate"))[:, :, 2:], 4, 1),
    ],
)
def test_gradients_of_all_rows_stay_in_the_field(
    function: Callable[[Tensor], Tensor], size: int, stride: float
) -> None:
    """At the edges too, and where windows do not begin equally far apart; the size is that of the largest."""
    rows, _ = field_of(Function(function), torch.empty(1, 1, 40, 40, device="meta"))
    reached = reached_by(function, 40)
    seen = [rows.seen(index, 40) for index in range(len(reached))]
    inner = slice(len(seen) // 4, -(len(seen) // 4) or None)
    assert reached[inner] == seen[inner]
    for (first, last), (lowest, highest) in zip(reached, seen, strict=True):
        assert lowest <= first <= last <= highest
    assert max(last - first + 1 for first, last in reached) == rows.size == size
    assert float(rows.stride) == pytest.approx(stride)


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


def test_a_stride_that_is_no_whole_number_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--module", "AdaptiveAvgPool2d(6)", "--module", "Conv2d(3, 4, 3)", "--input", "3x40x40"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-2:] for line in lines if line.startswith(("0 ", "1 "))] == [["8", "6.67"], ["21", "6.67"]]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.flip(-1),
        lambda x: x.roll(5, -1),
        lambda x: torch.rot90(x, 1, (2, 3)),
        lambda x: x.cumsum(-1),
        lambda x: x.softmax(-1),
        lambda x: x.transpose(-1, -2),
        lambda x: x[:, :, torch.arange(31, -1, -1)],
        lambda x: x @ torch.ones(32, 32, device=x.device),
        lambda x: F.pixel_unshuffle(x, 2).sum(1, keepdim=True),
        lambda x: x @ x,
        lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"),
        lambda x: x.expand(1, 32, 32, 32).mean(2).unsqueeze(1),  # as many rows as channels
        lambda x: x.expand(1, 32, 32, 32).select(2, 3).unsqueeze(1),
        lambda x: x.mean(2).unsqueeze(-1),
        lambda x: x.expand(1, 32, 32, 32).permute(0, 2, 3, 1).sum(1, keepdim=True),
        lambda x: x.reshape(1, 1, -1, 1).expand(1, 1, 1024, 32),
        lambda x: turned(x),
        lambda x: x + x.flip(2),
        lambda x: F.avg_pool2d(x, 2) + x[:, :, :16, :16],  # neighbours are differently far apart
        lambda x: F.adaptive_avg_pool2d(x, 40),
        lambda x: F.grid_sample(x, torch.zeros(1, 8, 8, 2), align_corners=False),
        written,
    ],
)
def test_a_field_is_unknown_where_values_changed_places(function: Callable[[Tensor], Tensor]) -> None:
    image = torch.empty(1, 1, 32, 32, device="meta")
    fields = Fields(image)
    with torch.device("meta"), torch.no_grad(), fields:
        assert fields.of(window(padding=1)(function(image))) is None


@pytest.mark.parametrize(
    ("layer", "gathers"),
    [
        (nn.GroupNorm(1, 2), True),
        (nn.InstanceNorm2d(2), True),
        (nn.BatchNorm2d(2, track_running_stats=False), True),
        (nn.BatchNorm2d(2), False),
    ],
)
def test_norms_that_take_means_from_the_image_are_noticed(layer: nn.Module, gathers: bool) -> None:
    image = torch.empty(1, 2, 8, 8, device="meta")
    fields = Fields(image)
    with torch.no_grad(), fields:
        layer.to("meta").eval()(image)
    assert fields.gathers == gathers


def test_a_field_is_unknown_after_other_changes_of_rows_and_columns() -> None:
    for layer in (nn.ConvTranspose2d(1, 1, 2, stride=2), nn.Upsample(scale_factor=2), nn.Upsample(size=5)):
        image = torch.empty(1, 1, 8, 8, device="meta")
        fields = Fields(image)
        with torch.no_grad(), fields:
            output = nn.Sequential(nn.Conv2d(1, 1, 3), layer, nn.Conv2d(1, 1, 3)).to("meta")(image)
            turned = image.permute(0, 2, 3, 1)
        assert fields.of(output) is None
        assert fields.of(turned) is None


def test_a_part_of_the_image() -> None:
    class Part(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images[:, :, 2::2, -3:]

    rows, columns = field_of(Part(), torch.empty(1, 1, 8, 8, device="meta"))
    assert (rows.seen(1, 8), rows.stride) == ((4, 4), 2)
    assert columns.seen(0, 8) == (5, 5)


def positive(network: nn.Module) -> nn.Module:
    """A network in which every path counts: positive weights, nothing normalised away, means in the place of maxima.

    What gathers the whole image, which fields leave out, is taken away: group norms and gates.
    """
    for key, tensor in network.state_dict().items():
        if tensor.ndim > 1:
            tensor.fill_(1 / tensor[0].numel())
        elif tensor.is_floating_point():
            tensor.fill_(float(key.endswith(("weight", "running_var"))))
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, StandardizedConv2d):
                child.__class__ = nn.Conv2d  # standardised, equal weights are zeros
            if isinstance(child, nn.GroupNorm | SqueezeExcite):
                setattr(module, name, nn.Identity())
            if isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    return network


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet_uva", 96),
        ("preact_resnet_uva", 96),
        ("googlenet_uva", 96),
        ("densenet_uva", 224),
        ("vgg16_bn_cifar", 256),
        ("mobilenet_v2_cifar", 192),
        ("inception_v3_cifar_stem", 224),
        ("dpn26_cifar", 96),
        ("bit_resnet26_cifar", 96),
        ("seresnet50_cifar_stem", 160),
    ],
)
def test_gradients_reach_exactly_the_field(name: str, size: int) -> None:
    """The pixels on which a value in the middle depends, first and last, along rows and along columns."""
    network = create(name).eval()
    del network.head
    rows, columns = field_of(network.to("meta"), torch.empty(1, 3, size, size, device="meta"))
    network = create(name).double().eval()
    del network.head
    image = torch.ones(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    features = positive(network)(image)
    middle = features.shape[-1] // 2
    (gradient,) = torch.autograd.grad(features[0, :, middle, middle].sum(), image)
    reached = gradient[0].abs().sum(0) > 0
    for axis, dim in ((rows, 1), (columns, 0)):
        places = reached.any(dim).nonzero().flatten().tolist()
        assert (places[0], places[-1]) == axis.seen(middle, size)
        assert places[-1] - places[0] + 1 == axis.size  # all of it lies inside the image
