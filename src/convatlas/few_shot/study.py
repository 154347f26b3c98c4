"""The study: every method on every draw of every number of shots, run by run; a finished run is loaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from convatlas.data import DataSet
from convatlas.device import described, resolve_device
from convatlas.errors import UsageError
from convatlas.few_shot.features import with_features
from convatlas.few_shot.pictures import shown_images
from convatlas.few_shot.planning import Member, TransferRequest, plan_transfer
from convatlas.files import held, is_free, is_full_disk, write_arrays
from convatlas.progress import Progress, choose
from convatlas.report.transfer import TransferReport, write_transfer_report
from convatlas.run import (
    DataOfStudy,
    Start,
    TransferRecord,
    check_nameable,
    command,
    differences,
    is_run,
    is_transfer,
    read_run,
    read_transfer,
    run_there,
)
from convatlas.screen import Screen
from convatlas.training import TrainingError, train_plan
from convatlas.training.nearest_mean import nearest_mean_record, nearest_mean_run
from convatlas.training.records import data_record


def transfer(request: TransferRequest, *, out: Path, resume: bool = False, quiet: bool = False) -> TransferReport:
    """Runs every method on every draw of every number of shots into the folder `out` and writes the report.

    A failed run is recorded and does not stop the others. With `resume`, a study may get more methods, shots and
    draws. Raises `UsageError` for a word that cannot be used before any training, for the folder of another study, and
    for an unfinished study without `resume`. Raises `TrainingError` if every run fails.
    """
    if not is_free(out) and not is_transfer(out):
        raise UsageError(f"the folder {out} is not empty and holds no study of transfer; choose another with --out")
    data, members = plan_transfer(request, out=out)
    device = resolve_device(request.device)
    for member in members:
        check_nameable(member.plan.record().content())
    with held(out):
        _open_study(members, data, request=request, out=out, device=device, resume=resume)
        screen = Screen(stderr=True)
        for line in () if quiet else _announcements(members, name=data.spec.name, device=device):
            screen.print(line, markup=False, highlight=False, soft_wrap=True)
        members = with_features(members, data, out=out, device=device, quiet=quiet)
        with choose(screen, [member.plan.job for member in members], quiet=quiet) as progress:
            errors = [_attempt(member, device=device, progress=progress) for member in members]
        if all(errors):
            raise TrainingError(f"all {len(errors)} runs failed; the first: {errors[0]}")
        return write_transfer_report(out)


def _announcements(members: Sequence[Member], *, name: str, device: str) -> list[str]:
    """Returns the lines that are printed before a study: weights, recipes, arithmetic, and notes on the fewest shots.

    `name` is that of the data of which the runs have parts.
    """
    plans = [member.plan for member in members]
    lines = [f"weights {plan.start.base}" for plan in plans if plan.start.origin == "weights"]
    lines += [f"recipe {member.plan.recipe.summary()}" for member in members if member.trained]
    lines += [f"computed in {described(device, plans[0].recipe.precision)}"]
    lines += ["no validation images are used: every run keeps its last epoch"]
    fewest = [member.plan for member in members if member.shots == members[0].shots]
    lines += [f"note: {note.replace(plan.data.spec.name, name)}" for plan in fewest for note in plan.notes]
    return list(dict.fromkeys(lines))


def _open_study(
    members: Sequence[Member], data: DataSet, *, request: TransferRequest, out: Path, device: str, resume: bool
) -> None:
    """Checks that the held folder has no study or this one, and writes its record. Raises `UsageError`."""
    record = _record(members, data, request=request, device=device)
    if is_transfer(out):
        there = read_transfer(out)
        different = differences(record.identity(), there.identity())
        if different:
            raise UsageError(f"the folder {out} holds another study ({different[0]}); choose another with --out")
        for member in members:
            if is_run(member.folder):  # a changed recipe is noticed before any training
                plan = member.plan
                run_there(member.folder, plan.record() if member.trained else nearest_mean_record(plan))
        done = sum(is_run(member.folder) and read_run(member.folder).finished for member in members)
        if done < len(members) and not resume:
            raise UsageError(
                f"the study in {out} is unfinished ({done} of {len(members)} runs); go on with --resume, or choose "
                "another folder with --out"
            )
        record = record.joined(there)
    record.write(out)
    write_arrays(out / "shots.npz", shown_images(data, request.draws))


def _record(members: Sequence[Member], data: DataSet, *, request: TransferRequest, device: str) -> TransferRecord:
    """Returns the record of a study."""
    first = next((member.plan for member in members if member.plan.start.origin == "weights"), members[0].plan)
    facts = data_record(data)
    return TransferRecord(
        base=first.label,
        start=dataclasses.replace(first.start) if first.start.origin == "weights" else Start.from_seed(),
        methods={method.folder: method.name for method in request.methods},
        draws={str(shots): draws for shots, draws in request.draws.items()},
        data=DataOfStudy(**facts.identity()),
        classes=facts.classes,
        train=facts.train,
        test=facts.test,
        device=device,
        command=command(),
    )


def _attempt(member: Member, *, device: str, progress: Progress) -> str | None:
    """Makes or loads one run and returns None, or the text of its error; the run's record has the traceback."""
    plan = dataclasses.replace(member.plan, data=member.plan.data.kept())
    try:
        if member.trained:
            train_plan(plan, folder=member.folder, resume=True, device=device, progress=progress)
            return None
        progress.started(plan.job, steps=1, first_epoch=0, first_step=0)
        progress.finished(plan.job, nearest_mean_run(plan, folder=member.folder, device=device).results)
    except Exception as error:
        if is_full_disk(error):  # the others would fail too
            raise
        if not member.trained:
            progress.failed(plan.job, str(error))
        return f"{plan.job.label} seed {plan.job.seed}: {error}"
    return None
