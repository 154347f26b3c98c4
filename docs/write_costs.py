"""Writes docs/costs.md: the savings by the papers' building blocks, counted by the calculator of `convatlas show`.

python docs/write_costs.py           rewrite the page
python docs/write_costs.py --check   change nothing; exit 1 where the page is stale
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from convatlas.complexity import Complexity
from convatlas.complexity.calculator import calculate

PAGE = Path(__file__).resolve().parent / "costs.md"
HEADER = """# What the building blocks cost

The comparisons of the lectures and papers, counted by the calculator that is also on the command line:

```sh
convatlas show --module "Conv2d(480, 48, 5, padding=2)" --input 480x14x14
```

Each `--module` is a layer of `torch.nn`, and several are applied in turn. The page is made by
[write_costs.py](write_costs.py), and a test keeps it true. Weights are counted without biases. MACs are multiply-adds
of convolutions and matrix products for one image. The field is the receptive field in pixels of the input.
"""


@dataclass(frozen=True)
class Way:
    """Layers that do the task of a comparison, under a name."""

    name: str
    layers: tuple[str, ...]

    def counted(self, shape: str) -> Complexity:
        """Returns the cost of the layers on an input of this shape."""
        return calculate(self.layers, shape)


@dataclass(frozen=True)
class Comparison:
    """Several ways to do a task on an input; the others are compared with the first."""

    title: str
    idea: str
    source: str
    shape: str
    ways: tuple[Way, ...]


def conv(inputs: int, outputs: int, kernel: int | str, extra: str = "") -> str:
    """Returns, as text, a convolution without bias."""
    return f"Conv2d({inputs}, {outputs}, {kernel}{', ' + extra if extra else ''}, bias=False)"


def same(inputs: int, outputs: int, kernel: int) -> str:
    """Returns, as text, a convolution that keeps the size."""
    return conv(inputs, outputs, kernel, f"padding={kernel // 2}")


COMPARISONS = (
    Comparison(
        "A 1x1 convolution before a 5x5",
        "48 filters of 5 x 5 on 480 channels see each channel at 25 places. If a 1x1 convolution first makes "
        "16 channels, the same output costs a twentieth.",
        "[Szegedy et al. 2014](https://arxiv.org/abs/1409.4842), section 4: inception module 4a",
        "480x14x14",
        (
            Way("5x5", (same(480, 48, 5),)),
            Way("1x1 to 16 channels, then 5x5", (conv(480, 16, 1), same(16, 48, 5))),
        ),
    ),
    Comparison(
        "Three 3x3 convolutions for one 7x7",
        "With C channels in and out there are 27 C² weights instead of 49 C², the same field, and three nonlinearities "
        "instead of one.",
        "[Simonyan, Zisserman 2014](https://arxiv.org/abs/1409.1556), section 2.3; here C = 64",
        "64x56x56",
        (Way("7x7", (same(64, 64, 7),)), Way("three 3x3", (same(64, 64, 3),) * 3)),
    ),
    Comparison(
        "Two 3x3 convolutions for one 5x5",
        "There are 18 C² weights instead of 25 C², 28 % fewer.",
        "[Szegedy et al. 2015](https://arxiv.org/abs/1512.00567), section 3.1, figure 1; here C = 64",
        "64x35x35",
        (Way("5x5", (same(64, 64, 5),)), Way("two 3x3", (same(64, 64, 3),) * 2)),
    ),
    Comparison(
        "A column and a row",
        "n x 1 and 1 x n have 2n C² weights instead of n² C²: less than a third for n = 7.",
        "[Szegedy et al. 2015](https://arxiv.org/abs/1512.00567), section 3.2, figure 3; here C = 192",
        "192x17x17",
        (
            Way("7x7", (same(192, 192, 7),)),
            Way(
                "7x1, then 1x7",
                (conv(192, 192, "(7, 1)", "padding=(3, 0)"), conv(192, 192, "(1, 7)", "padding=(0, 3)")),
            ),
        ),
    ),
    Comparison(
        "Depthwise separable convolutions",
        "A filter for each channel and a 1x1 convolution after it have 9 C + C² weights instead of 9 C².",
        "[Howard et al. 2017](https://arxiv.org/abs/1704.04861), section 3.1; here C = 512",
        "512x14x14",
        (
            Way("3x3", (same(512, 512, 3),)),
            Way("3x3 depthwise, then 1x1", (conv(512, 512, 3, "padding=1, groups=512"), conv(512, 512, 1))),
        ),
    ),
    Comparison(
        "Averages for a dense layer",
        "A dense layer of 1,024 units on GoogLeNet's last maps would have more than seven times the weights of all "
        "other layers. The mean of each map has none.",
        "[Lin, Chen, Yan 2013](https://arxiv.org/abs/1312.4400), section 3.2; "
        "[Szegedy et al. 2014](https://arxiv.org/abs/1409.4842), section 5",
        "1024x7x7",
        (
            Way("dense layer of 1,024 units", ("Flatten()", "Linear(50176, 1024, bias=False)")),
            Way("global average pooling", ("AdaptiveAvgPool2d(1)", "Flatten()")),
        ),
    ),
    Comparison(
        "Halving the grid",
        "The grid goes from d x d with k channels to half the sides with 2k channels; here d = 35 and k = 320. "
        "Convolving first costs about four times as much as pooling first, but pooling first loses information. "
        "Inception-v2 does both side by side and joins the results: its convolution of stride 2 makes the k channels "
        "that pooling does not make.",
        "[Szegedy et al. 2015](https://arxiv.org/abs/1512.00567), section 5, figures 9 and 10; here with 3x3 kernels",
        "320x35x35",
        (
            Way("3x3 to 640 channels, then pooling", (same(320, 640, 3), "MaxPool2d(3, 2)")),
            Way("pooling, then 3x3 to 640 channels", ("MaxPool2d(3, 2)", same(320, 640, 3))),
            Way("3x3 of stride 2 to 320 channels (beside pooling of the 320)", (conv(320, 320, 3, "stride=2"),)),
        ),
    ),
    Comparison(
        "Halving the grid by the paper's formulas",
        "The paper's 2 d² k² and 2 (d / 2)² k² leave out the kernel, so they hold for a 1x1 kernel. Pooling leaves "
        "17 of 35 rows, not 17.5.",
        "[Szegedy et al. 2015](https://arxiv.org/abs/1512.00567), section 5",
        "320x35x35",
        (
            Way("1x1 to 640 channels, then pooling", (same(320, 640, 1), "MaxPool2d(3, 2)")),
            Way("pooling, then 1x1 to 640 channels", ("MaxPool2d(3, 2)", same(320, 640, 1))),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    wanted = list(sys.argv[1:] if arguments is None else arguments)
    if wanted not in ([], ["--check"]):
        sys.exit(str(__doc__))
    text = page()
    if not wanted:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.name} is not what is counted; run python docs/{Path(__file__).name}", file=sys.stderr)
    return 1


def page() -> str:
    """Returns the page as Markdown."""
    return "\n".join([HEADER, *map(section, COMPARISONS)])


def section(comparison: Comparison) -> str:
    """Returns a comparison: its idea, and the cost of each way."""
    counted = [way.counted(comparison.shape) for way in comparison.ways]
    texts = [fill(text, 120, break_long_words=False) for text in (comparison.idea, f"Source: {comparison.source}.")]
    lines = [f"## {comparison.title}", "", texts[0], "", texts[1], ""]
    size = comparison.shape.replace("x", " x ")
    lines += [f"| on {size} | weights | | MACs | | field |", "|:--|--:|--:|--:|--:|--:|"]
    for way, each in zip(comparison.ways, counted, strict=True):
        field = each.network.receptive_field
        seen = f"{field[0]} x {field[1]}" if field else ""
        shares = [_share(*pair) for pair in ((each.weights, counted[0].weights), (each.macs, counted[0].macs))]
        lines.append(f"| {way.name} | {each.weights:,} | {shares[0]} | {each.macs:,} | {shares[1]} | {seen} |")
    commands = [f"convatlas show {modules(way)} --input {comparison.shape}" for way in comparison.ways]
    return "\n".join([*lines, "", "```sh", *commands, "```", ""])


def _share(ours: int, first: int) -> str:
    return f"{100 * ours / first:.0f} %"


def modules(way: Way) -> str:
    """Returns the layers as options of the command line."""
    return " ".join(f'--module "{layer}"' for layer in way.layers)


if __name__ == "__main__":
    sys.exit(main())
