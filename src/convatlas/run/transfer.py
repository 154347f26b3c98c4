"""The record of a study of transfer, the content of `transfer.json`: methods x shots x draws on one data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from convatlas import values
from convatlas.errors import UsageError
from convatlas.files import read_json, write_json
from convatlas.run.reading import check_format, read_record
from convatlas.run.record import FORMAT
from convatlas.run.start import Start
from convatlas.run.study import DataOfStudy

NAME = "transfer.json"


@dataclass(frozen=True, kw_only=True)
class TransferRecord:
    """All facts of a study of transfer.

    `methods` maps the folder of a method to its name; `draws` maps a number of shots to the numbers of its draws.
    `base` is the label of the network and `start` names its weights. `train` and `test` count the images to draw from
    and to evaluate on, `validation` the validation images that are used.
    """

    base: str
    start: Start
    methods: Mapping[str, str]
    draws: Mapping[str, tuple[int, ...]]
    data: DataOfStudy
    classes: tuple[str, ...]
    train: int
    test: int
    validation: int = 0
    device: str
    command: str | None = None

    def identity(self) -> dict[str, Any]:
        """Returns the facts that all sessions of a study share, as plain data; methods, shots and draws may grow."""
        return {
            "base": self.base,
            "start": self.start.identity(),
            "data": asdict(self.data),
            "classes": list(self.classes),
            "device": self.device,
        }

    def joined(self, other: TransferRecord) -> TransferRecord:
        """Returns the record with what an earlier session has too; the methods of this one stand first."""
        draws = {
            shots: tuple(sorted({*other.draws.get(shots, ()), *self.draws.get(shots, ())}))
            for shots in (*other.draws, *self.draws)
        }
        return replace(self, methods={**self.methods, **other.methods}, draws=draws)

    def write(self, folder: Path) -> None:
        """Writes `transfer.json`."""
        write_json(folder / NAME, {"format": FORMAT, **values.plain(asdict(self))})


def is_transfer(folder: Path) -> bool:
    """Returns whether the folder holds a study of transfer."""
    return (folder / NAME).is_file()


def read_transfer(folder: Path) -> TransferRecord:
    """Returns the record of the study of transfer in a folder. Raises `UsageError` if it cannot be read."""
    path = folder / NAME
    try:
        content = read_json(path)
        check_format(content, label=str(path))
        return read_record(TransferRecord, content, label=str(path))
    except UsageError as error:
        raise UsageError(f"{error}; bring back a copy of it, or move it away: its runs stay") from error
