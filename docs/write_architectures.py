"""Writes docs/architectures.md and the pages and drawings below docs/architectures from the registry and the networks.

python docs/write_architectures.py           rewrite them
python docs/write_architectures.py --check   change nothing; exit 1 where one is stale
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import architecture_pages  # beside this file

from convatlas.architecture import Architecture
from convatlas.architectures import by_family, list_architectures

PAGE = Path(__file__).resolve().parent / "architectures.md"
TITLES = {  # each family's title, and the file below convatlas/architectures whose docstring begins with its idea
    "lenet": ("LeNet", "lenet"),
    "alexnet": ("AlexNet", "alexnet"),
    "vgg": ("VGG", "vgg"),
    "nin": ("Network in Network", "nin"),
    "googlenet": ("GoogLeNet", "googlenet.original"),
    "inception": ("Inception after GoogLeNet", "inception.v3"),
    "inception_resnet": ("Inception-ResNet", "inception.inception_resnet_v1"),
    "resnet": ("ResNet and plain networks", "resnet.imagenet"),
    "preact_resnet": ("Pre-activation ResNet", "preact_resnet.cifar"),
    "wide_resnet": ("Wide ResNet", "preact_resnet.wide"),
    "resnext": ("ResNeXt", "resnet.resnext"),
    "senet": ("Squeeze-and-excitation networks", "resnet.senet"),
    "densenet": ("DenseNet", "densenet.imagenet"),
    "mobilenet": ("MobileNet-v2", "mobilenet"),
    "efficientnet": ("EfficientNet", "efficientnet.imagenet"),
    "dpn": ("Dual path networks", "dpn.imagenet"),
    "bit": ("Big Transfer", "bit.imagenet"),
}
HEADER = """# Architectures

{count} architectures in {families} families. The page is made from the registry by
[write_architectures.py](write_architectures.py), and a test keeps it true. Parameters and MACs (multiply-adds of
convolutions and matrix products for one image, in eval mode) are counted from the network at the input given, with
1,000 classes for ImageNet and 10 else. `convatlas show NAME` has each one's stages, options and sources.

The accuracies are others', each by its own protocol: compare them with care. Under weights stand the names for
`--weights`, which are downloaded with their checksum; files in these and other layouts (torchvision's, timm's ...) are
read by `load` wherever the user has them.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    wanted = list(sys.argv[1:] if arguments is None else arguments)
    if wanted not in ([], ["--check"]):
        sys.exit(str(__doc__))
    wrong = 0
    for path, text in files():
        if not wanted:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            wrong += 1
            print(f"{path.name} is stale; run python docs/{Path(__file__).name}", file=sys.stderr)
    return min(wrong, 1)


def files() -> Iterator[tuple[Path, str]]:
    """Every file and what it holds."""
    yield PAGE, page()
    for family, rows in by_family(list_architectures()).items():
        for name, text in architecture_pages.files(family, section(family, rows, heading="#")):
            yield PAGE.parent / "architectures" / name, text


def page() -> str:
    """The page as Markdown."""
    families = by_family(list_architectures())
    count = sum(map(len, families.values()))
    parts = [HEADER.format(count=count, families=len(families))]
    parts += [section(family, rows) for family, rows in families.items()]
    return "\n".join(parts)


def section(family: str, rows: list[Architecture], *, heading: str = "##") -> str:
    """A family: its idea, its papers, a table of its networks."""
    title, file = TITLES[family]
    papers = {row.paper.url: row.paper for row in rows if row.paper}
    sources = [f"- [{p.authors} {p.year}]({url}). {p.title}" for url, p in papers.items()]
    lines = [f"{heading} {title}", "", idea(file), "", *sources, ""]
    if heading == "##":
        lines += [f"[{architecture_pages.SHOWN[family][0]} layer by layer, and drawn](architectures/{family}.md)", ""]
    lines += ["| network | year | input | parameters | MACs | published | weights |", "|:--|--:|--:|--:|--:|:--|:--|"]
    lines += [line(row) for row in rows]
    notes = [f"- `{row.name}`: {row.note}" for row in rows if row.note]
    return "\n".join(lines + (["", *notes] if notes else [])) + "\n"


def idea(file: str) -> str:
    """The first sentence of the family file: the idea in a line."""
    text = (import_module(f"convatlas.architectures.{file}").__doc__ or "").split("\n\n")[0]
    return " ".join(text.split())


def line(row: Architecture) -> str:
    """A row of the table."""
    ordered = sorted(row.published, key=lambda result: result.split != "test")
    best = {result.dataset: result for result in reversed(ordered)}
    published = ", ".join(f"{100 * r.top1:.2f} % {r.dataset} ({r.split})" for r in reversed(best.values()))
    cells = (
        f"`{row.name}`",
        str(row.paper.year) if row.paper else "",
        f"{row.in_channels} x {row.image_size} x {row.image_size}",
        f"{row.params:,}" if row.params else "",
        f"{row.macs:,}" if row.macs else "",
        published,
        ", ".join(f"`{weights.name}`" for weights in row.weights),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
