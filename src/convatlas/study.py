"""A study: architectures x seeds under one protocol, run by run, each loaded if it is there already."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from convatlas.architectures import architecture
from convatlas.data import DataSet, load_data
from convatlas.device import described, resolve_device
from convatlas.errors import UsageError, unknown
from convatlas.files import held, is_free, is_full_disk
from convatlas.progress import Job, Progress, choose
from convatlas.report import Report, write_report
from convatlas.run import command, differences, is_run, is_study, read_run, read_study, study_of
from convatlas.training import Plan, TrainingError, choose_recipe, make_plan, train_plan


@dataclass(frozen=True)
class Member:
    """One run of a study: its plan, its folder below the study's, and its name on the screen."""

    plan: Plan
    folder: Path
    job: Job


@dataclass(frozen=True)
class Protocol:
    """What all runs of a study share: data, seeds, a recipe and changes to it, and options of the architectures.

    `recipe` None is the data set's or the architecture's own; an entry `ARCH@RECIPE` overrides it.
    """

    data: str = "digits"
    data_dir: Path | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    recipe: str | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


# The comparisons that `--protocol` names: published by others, as entries of ours.
PROTOCOLS = {
    "uva": ("googlenet_uva@uva_adam", "resnet_uva@uva_sgd", "preact_resnet_uva@uva_sgd", "densenet_uva@uva_adam"),
}


def protocol_entries(name: str | None, entries: Sequence[str]) -> list[str]:
    """The entries of a published comparison, or those given; both together are a `UsageError`.

    >>> protocol_entries("uva", [])[1]
    'resnet_uva@uva_sgd'
    """
    if name is None:
        return list(entries)
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    if entries:
        raise UsageError(f"--protocol {name} names its own networks; leave out {', '.join(entries)}")
    return list(PROTOCOLS[name])


def compare(
    entries: Sequence[str],
    *,
    out: Path,
    protocol: Protocol,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> Report:
    """Trains every architecture with every seed into the folder `out` and writes the report.

    An entry is `ARCH`, `ARCH@RECIPE` or `path/to/file.py:name[@RECIPE]`. A run that fails is recorded and does not stop
    the others. Raises `UsageError` for an unusable entry, before anything is trained, for a folder of another study,
    and for an unfinished one without `resume`; `TrainingError` when every run failed. With `resume` a study may get
    more seeds and more networks.
    """
    members = plan_study(entries, protocol=protocol, out=out)
    device = resolve_device(device)
    if not is_free(out) and not is_study(out):
        raise UsageError(f"the folder {out} is not empty and holds no study; choose another with --out")
    with held(out):
        _open_study(members, out=out, protocol=protocol, device=device, resume=resume)
        screen = Console(stderr=True)
        for line in () if quiet else _announcements(members, device):
            screen.print(line, markup=False, highlight=False, soft_wrap=True)
        with choose(screen, [member.job for member in members], quiet=quiet) as progress:
            errors = [_attempt(member, device=device, progress=progress) for member in members]
        if all(errors):
            raise TrainingError(f"all {len(errors)} runs failed; the first: {errors[0]}")
        return write_report(out)


def _announcements(members: Sequence[Member], device: str) -> list[str]:
    """What is said before a study begins: each recipe in a line, the arithmetic, what was changed to fit the data."""
    lines = [f"recipe {member.plan.recipe.summary()}" for member in members]
    lines += [f"computed in {described(device, members[0].plan.recipe.precision)}"]
    lines += [f"note: {note}" for member in members for note in member.plan.notes]
    return list(dict.fromkeys(lines))


def plan_study(entries: Sequence[str], *, protocol: Protocol, out: Path) -> list[Member]:
    """The runs of a study, one architecture's seeds after another's. Raises `UsageError` for what cannot be run."""
    if not entries:
        raise UsageError("compare needs at least one architecture; `convatlas list` shows them")
    if not protocol.seeds or len(set(protocol.seeds)) != len(protocol.seeds):
        raise UsageError(f"seeds {protocol.seeds} must be one or more different numbers")
    data = load_data(protocol.data, folder=protocol.data_dir)
    rows = [_plan_entry(entry, data=data, protocol=protocol) for entry in entries]
    precisions = {row[0].recipe.precision: row[0].recipe.name for row in rows}
    if len(precisions) > 1:
        recipes = " and ".join(f"{name} in {precision}" for precision, name in precisions.items())
        raise UsageError(f"a study has one arithmetic, but {recipes} compute differently; choose with --precision")
    names = [row[0].folder_name for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is there {names.count(name)} times; each network with its recipe once")
    several = len({row[0].recipe.name for row in rows}) > 1
    members = []
    for plans, name in zip(rows, names, strict=True):
        for plan in plans:
            label = f"{plan.label}@{plan.recipe.name}" if several else plan.label
            members.append(Member(plan, out / name / f"seed{plan.seed}", Job(label, plan.seed, plan.epochs)))
    return members


def _plan_entry(entry: str, *, data: DataSet, protocol: Protocol) -> list[Plan]:
    """The plans of one entry, one for each seed."""
    name, recipe_name = split_entry(entry)
    row = architecture(name)
    chosen = choose_recipe(row, data=protocol.data, name=recipe_name or protocol.recipe, settings=protocol.settings)
    options = row.parse_options(protocol.options)
    first = make_plan(row, data=data, chosen=chosen, seed=protocol.seeds[0], options=options)
    return [first.with_seed(seed) for seed in protocol.seeds]


def split_entry(entry: str) -> tuple[str, str | None]:
    """`ARCH@RECIPE` as its two parts; an @ inside a path is part of the path.

    >>> split_entry("resnet_uva@uva_adam"), split_entry("/home/me@work/net.py:net")
    (('resnet_uva', 'uva_adam'), ('/home/me@work/net.py:net', None))
    """
    name, at, recipe_name = entry.rpartition("@")
    if not at or ".py:" in recipe_name:
        return entry, None
    if not name or not recipe_name:
        raise UsageError(f"{entry!r} is not ARCH@RECIPE")
    return name, recipe_name


def _open_study(members: Sequence[Member], *, out: Path, protocol: Protocol, device: str, resume: bool) -> None:
    """Checks that the folder, which this process holds, has this very study or none, and writes a new `study.json`."""
    records = {member.folder.parent.name: member.plan.record() for member in members}
    study = study_of(records, seeds=protocol.seeds, device=device, command=command())
    if is_study(out):
        there = read_study(out)
        different = differences(study.identity(), there.identity())
        if different and not (resume and study.extends(there)):
            raise UsageError(f"the folder {out} holds another study ({different[0]}); choose another with --out")
        done = sum(is_run(member.folder) and read_run(member.folder).finished for member in members)
        if done < len(members) and not resume:
            raise UsageError(
                f"the study in {out} is unfinished ({done} of {len(members)} runs); "
                f"go on with --resume, or choose another folder with --out"
            )
        if not different:
            return
    study.write(out)


def _attempt(member: Member, *, device: str, progress: Progress) -> str | None:
    """Trains or loads one run; the error's text if it failed. The run's own record has the traceback."""
    try:
        train_plan(member.plan, folder=member.folder, resume=True, device=device, progress=progress)
    except Exception as error:
        if is_full_disk(error):  # the others would fail too
            raise
        return f"{member.job.label} seed {member.job.seed}: {error}"
    return None
