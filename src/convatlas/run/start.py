"""The start of a run: the place where its first weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Start:
    """The place where the weights of a run start: drawn from its seed, or taken from a checkpoint.

    `source` names the checkpoint's file, `sha256` is its hash. `published` and `url` are the name and the page of
    weights that somebody published. `kept` are the parts of the network, by their names, that have the checkpoint's
    weights. `fresh` are the new parts: zeros in a linear layer that gives the answers, else drawn from the seed. Where
    the checkpoint has the classes of the data in another order, `order` gives the number there of each class. `part` is
    the part of the network that the checkpoint is of, such as the backbone of a detector; empty for the whole network.
    """

    origin: Literal["seed", "weights"] = "seed"
    source: str | None = None
    sha256: str | None = None
    kept: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    published: str | None = None
    url: str | None = None
    order: tuple[int, ...] = ()
    part: str = ""

    @classmethod
    def from_seed(cls) -> Start:
        """Returns the start of a network whose weights are all drawn from the seed."""
        return cls()

    @classmethod
    def from_weights(cls, source: str, *, sha256: str, kept: tuple[str, ...], fresh: tuple[str, ...] = ()) -> Start:
        """Returns the start of a network that has the weights of a checkpoint in the parts `kept`."""
        return cls(origin="weights", source=source, sha256=sha256, kept=kept, fresh=fresh)

    def identity(self) -> dict[str, Any]:
        """Returns the facts that decide the first weights, as plain data, without the path of a checkpoint."""
        order = {"order": list(self.order)} if self.order else {}
        part = {"part": self.part} if self.part else {}
        return {"origin": self.origin, "sha256": self.sha256, "fresh": list(self.fresh), **order, **part}

    @property
    def suffix(self) -> str:
        """The end of the name of a run's folder: none for weights from the seed.

        >>> Start.from_seed().suffix, Start.from_weights("a/best.ckpt", sha256="0f1e2d3c4b", kept=("stem",)).suffix
        ('', '-from-0f1e2d3c')
        """
        if self.origin == "seed":
            return ""
        return f"-{self.published}" if self.published else f"-from-{(self.sha256 or '')[:8]}"

    @property
    def base(self) -> str:
        """The base weights in words: their name, source and hash, without the folder of a file.

        >>> Start.from_weights("a/best.ckpt", sha256="0f1e2d3c4b", kept=("stem",)).base
        'best.ckpt (sha256 0f1e2d3c4b)'
        """
        file = Path(self.source or "").name
        name, place = (self.published, f"{file} of {self.url}, ") if self.published else (file, "")
        return f"{name} ({place}sha256 {self.sha256 or 'not known'})"

    @property
    def parts(self) -> str:
        """The kept and the fresh parts in words."""
        fresh = f"; new: {', '.join(self.fresh)}" if self.fresh else "; nothing is new"
        return f"kept: {', '.join(self.kept)}{fresh}"
