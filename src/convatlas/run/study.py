"""The record of a study, the content of `study.json`: the facts that all its runs share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convatlas import values
from convatlas.errors import UsageError
from convatlas.files import read_json, write_json
from convatlas.run.reading import check_format, read_record
from convatlas.run.record import FORMAT, ArchitectureRecord, RunRecord, differences, recipe_identity
from convatlas.run.start import Start

NAME = "study.json"


@dataclass(frozen=True, kw_only=True)
class NetworkOfStudy:
    """A network of a study: the facts that its runs with all seeds share."""

    architecture: ArchitectureRecord
    recipe: Mapping[str, Any]
    start: Start = field(default_factory=Start)
    objective: str = "classification"

    def identity(self) -> dict[str, Any]:
        """Returns the facts that the network's runs share, as plain data."""
        return {
            "architecture": values.plain(asdict(self.architecture)),
            "start": self.start.identity(),
            "recipe": recipe_identity(self.recipe),
            "objective": self.objective,
        }


@dataclass(frozen=True, kw_only=True)
class DataOfStudy:
    """The images and the split that all runs of a study share."""

    name: str
    split_hash: str
    images_hash: str | None = None


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """All facts of a study, the content of `study.json`; `networks` maps folders to networks."""

    networks: Mapping[str, NetworkOfStudy]
    seeds: tuple[int, ...]
    data: DataOfStudy
    device: str
    command: str | None = None

    def identity(self) -> dict[str, Any]:
        """Returns the identity of the study, as plain data: two studies with equal identities are the same study."""
        return {
            "networks": {name: network.identity() for name, network in self.networks.items()},
            "seeds": list(self.seeds),
            "data": asdict(self.data),
            "device": self.device,
        }

    def extends(self, other: StudyRecord) -> bool:
        """Returns whether this study is the other one with more seeds or more networks."""
        ours, theirs = self.identity(), other.identity()
        kept = {name: ours["networks"].get(name) for name in theirs["networks"]}
        return (
            kept == theirs["networks"]
            and set(theirs["seeds"]) <= set(ours["seeds"])
            and ours["device"] == theirs["device"]
            and not differences(ours["data"], theirs["data"])
        )

    def write(self, folder: Path) -> None:
        """Writes `study.json`."""
        write_json(folder / NAME, {"format": FORMAT, "identity": self._content(), "command": self.command})

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = values.plain(asdict(self))
        del content["command"]
        return content


def study_of(runs: Mapping[str, RunRecord], *, seeds: tuple[int, ...], device: str, command: str) -> StudyRecord:
    """Returns the record of a study; `runs` has a record of one run for each network, by the network's folder."""
    first = next(iter(runs.values()))
    networks = {
        name: NetworkOfStudy(
            architecture=run.architecture,
            recipe=recipe_identity(run.recipe),
            start=run.start,
            objective=run.objective,
        )
        for name, run in runs.items()
    }
    data = DataOfStudy(**first.data.identity())
    return StudyRecord(networks=networks, seeds=seeds, data=data, device=device, command=command)


def is_study(folder: Path) -> bool:
    """Returns whether the folder holds a study."""
    return (folder / NAME).is_file()


def read_study(folder: Path) -> StudyRecord:
    """Returns the record of the study in a folder. Raises `UsageError` if the record cannot be read."""
    path = folder / NAME
    try:
        content = read_json(path)
        check_format(content, label=str(path))
        identity = content.get("identity")
        described = {**(identity if isinstance(identity, dict) else {}), "command": content.get("command")}
        return read_record(StudyRecord, described, label=str(path))
    except UsageError as error:
        raise UsageError(
            f"{error}; bring back a copy of it, or move it away: its runs stay and can be reported"
        ) from error
