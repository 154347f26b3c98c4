"""The pictures of an explanation: PNG files in a folder, and addresses that hold them for the page."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from convatlas.files import write_bytes
from convatlas.insight.explain.pictures import ON_PAGE, data_address, png, png_address


class Shelf:
    """The pictures of a folder by the names of their files, and as addresses for the page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.addresses: dict[str, str] = {}

    def put(self, name: str, picture: Image.Image, *, most: int = ON_PAGE) -> str:
        """Writes a picture and returns the name of its file. On the page it has at most so many pixels a side."""
        (self.folder / name).write_bytes(png(picture))
        self.addresses[name] = data_address(picture, most=most)
        return name

    def add(self, name: str) -> str:
        """Takes a figure that lies in the folder, as it is, and returns the name of its file."""
        self.addresses[name] = png_address((self.folder / name).read_bytes())
        return name

    def move(self, folder: Path) -> None:
        """Writes all pictures into another folder."""
        for path in sorted(self.folder.iterdir()):
            write_bytes(folder / path.name, path.read_bytes())
