"""A study: architectures x seeds under one protocol, run by run; a finished run is loaded and not trained again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convatlas.device import described, resolve_device
from convatlas.errors import UsageError
from convatlas.files import held, is_free, is_full_disk
from convatlas.progress import Progress, choose
from convatlas.report import Report, write_report
from convatlas.request import Request, plan_request
from convatlas.run import check_nameable, command, differences, is_run, is_study, read_run, read_study, study_of
from convatlas.screen import Screen
from convatlas.training import Plan, TrainingError, as_recorded, train_plan


@dataclass(frozen=True)
class Member:
    """One run of a study: its plan, and its folder below the study's folder."""

    plan: Plan
    folder: Path


def compare(request: Request, *, out: Path, resume: bool = False, quiet: bool = False) -> Report:
    """Trains every entry of a request with every seed into the folder `out` and writes the report.

    A failed run is recorded and does not stop the others. With `resume`, a study may get more seeds and more networks.
    Raises `UsageError` for an unusable entry before any training, for the folder of another study, and for an
    unfinished study without `resume`. Raises `TrainingError` if every run fails.
    """
    members = plan_study(request, out=out)
    device = resolve_device(request.device)
    if not is_free(out) and not is_study(out):
        raise UsageError(f"the folder {out} is not empty and holds no study; choose another with --out")
    check_nameable([member.plan.record().content() for member in members])
    with held(out):
        _open_study(members, out=out, seeds=request.seeds, device=device, resume=resume)
        screen = Screen(stderr=True)
        for line in () if quiet else _announcements(members, device):
            screen.print(line, markup=False, highlight=False, soft_wrap=True)
        with choose(screen, [member.plan.job for member in members], quiet=quiet) as progress:
            errors = [_attempt(member, device=device, progress=progress) for member in members]
        if all(errors):
            raise TrainingError(f"all {len(errors)} runs failed; the first: {errors[0]}")
        return write_report(out)


def _announcements(members: Sequence[Member], device: str) -> list[str]:
    """Returns the lines that are printed before a study: recipes, arithmetic, and the changes that the data needed."""
    lines = [f"recipe {member.plan.recipe.summary()}" for member in members]
    lines += [f"computed in {described(device, members[0].plan.recipe.precision)}"]
    alike = {(member.plan.preprocessing, member.plan.recipe.images.crop): member.plan for member in members}
    lines += [line for plan in alike.values() for line in plan.reading]
    lines += [f"note: {note}" for member in members for note in member.plan.notes]
    return list(dict.fromkeys(lines))


def plan_study(request: Request, *, out: Path) -> list[Member]:
    """Returns the runs of a study: all seeds of the first network, then of the next. Raises `UsageError`."""
    plans = plan_request(request)
    if len({plan.recipe.name for plan in plans}) > 1:
        plans = tuple(dataclasses.replace(plan, title=f"{plan.label}@{plan.recipe.name}") for plan in plans)
    begun = read_study(out).networks if is_study(out) else {}
    plans = tuple(
        as_recorded(plan, begun[plan.folder_name].recipe) if plan.folder_name in begun else plan for plan in plans
    )
    return [Member(plan, out / plan.folder_name / f"seed{plan.seed}") for plan in plans]


def _open_study(members: Sequence[Member], *, out: Path, seeds: tuple[int, ...], device: str, resume: bool) -> None:
    """Checks that the held folder has no study or this one, and writes a new `study.json`. Raises `UsageError`."""
    records = {member.folder.parent.name: member.plan.record() for member in members}
    study = study_of(records, seeds=seeds, device=device, command=command())
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
    """Trains or loads one run and returns None, or the text of its error; the run's record has the traceback."""
    try:
        train_plan(member.plan, folder=member.folder, resume=True, device=device, progress=progress)
    except Exception as error:
        if is_full_disk(error):  # the others would fail too
            raise
        return f"{member.plan.job.label} seed {member.plan.seed}: {error}"
    return None
