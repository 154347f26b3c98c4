"""`show --diagram` and `show --receptive-field`: the drawings of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convatlas.cli.options import architecture_options, console
from convatlas.errors import UsageError

READABLE = 5.5  # points of text on paper


@dataclass(frozen=True)
class Wanted:
    """The drawings that the user wants: a diagram of the network or of one block, or the fields on a photograph."""

    diagram: Path | None
    block: str | None
    receptive_field: Path | None
    photo: Path | None

    def check(self, architectures: Sequence[str]) -> None:
        """Raises `UsageError` for a flag without the flag that it needs, two networks, and a wrong file type."""
        files = {"--diagram": (self.diagram, ".svg"), "--receptive-field": (self.receptive_field, ".png")}
        for flag, (path, suffix) in files.items():
            if path is None:
                continue
            if len(architectures) != 1:
                raise UsageError(f"{flag} draws one architecture, not {len(architectures)}")
            if path.suffix.lower() != suffix or path.is_dir():
                raise UsageError(f"{flag} {path} must be the name of a {suffix} file")
        if self.block is not None and self.diagram is None:
            raise UsageError("--block belongs to --diagram FILE.svg")
        if self.photo is not None and self.receptive_field is None:
            raise UsageError("--image belongs to --receptive-field FILE.png")

    def __bool__(self) -> bool:
        return self.diagram is not None or self.receptive_field is not None


def refuse(flags: Mapping[str, object], *, beside: str) -> None:
    """Raises `UsageError` for each of `flags` that has a value; it has no effect together with the flag `beside`."""
    for flag, value in flags.items():
        if value is not None:
            raise UsageError(f"{flag} does nothing with {beside}; leave {flag} out")


def draw(name: str, option: list[str] | None, wanted: Wanted, *, image_size: int | None) -> None:
    """Makes the wanted drawings and prints their paths."""
    from convatlas.architectures import architecture

    row = architecture(name)
    options = row.parse_options(architecture_options(option))
    if wanted.diagram is not None:
        _diagram(row, options, wanted.diagram, image_size=image_size, block=wanted.block or "")
    if wanted.receptive_field is not None:
        _field(row, options, wanted.receptive_field, image_size=image_size, photo=wanted.photo)


def _diagram(row: Any, options: dict[str, Any], path: Path, *, image_size: int | None, block: str) -> None:
    from convatlas.files import check_writable, write_text
    from convatlas.insight.diagram import diagram

    drawn = diagram(row, block=block, image_size=image_size, **options)
    check_writable(path.parent)
    write_text(path, drawn.svg)
    first, *others = drawn.blocks or ("",)
    more = f" (or {', '.join(others)})" if others else ""
    said = f"; --block {first}{more} draws the inside of a block" if first else ""
    console().print(f"diagram {path}{said}", markup=False, highlight=False, soft_wrap=True)
    if drawn.points < READABLE:
        small = f"on A4 paper its smallest text has {drawn.points:.1f} points; --block draws a part of the network"
        console().print(small, markup=False, highlight=False, soft_wrap=True)


def _field(row: Any, options: dict[str, Any], path: Path, *, image_size: int | None, photo: Path | None) -> None:
    from convatlas.complexity import side_of
    from convatlas.data.images.image_files import check_images
    from convatlas.files import check_writable
    from convatlas.insight.field import draw_fields, fields_seen

    if photo is not None:
        check_images([photo])
    fields = fields_seen(row, image_size=image_size, **options)
    check_writable(path.parent)
    draw_fields(fields, path, name=row.name, photo=photo)
    for field in fields:
        effective = f"effective {field.effective_size:.0f}"
        console().print(f"{field.stage}: {side_of(field.size)} pixels, {effective}", markup=False, highlight=False)
    console().print(f"receptive fields {path}", markup=False, highlight=False, soft_wrap=True)
