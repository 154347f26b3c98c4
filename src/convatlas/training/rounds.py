"""The rounds of a training: one for most, a teacher and its students one after the other for Noisy Student."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from convatlas.data.readability import require_readable
from convatlas.data.unlabelled import check_unseen, load_unlabelled
from convatlas.errors import UsageError
from convatlas.recipe import recipe_of_teacher
from convatlas.training.plan import Plan, make_plan
from convatlas.training.semi_supervised import NoisyStudent, with_teacher
from convatlas.training.semi_supervised.said import all_unlabelled, unlabelled_notes

MOST = 100


@dataclass(frozen=True)
class Sources:
    """What a training with few labels takes from elsewhere, in the user's words.

    `unlabelled` is the reference of another source of images, whose published files lie in `folder`. `teacher` is the
    folder of a finished run, `rounds` the number of students after the first teacher.
    """

    unlabelled: str | None = None
    folder: Path | None = None
    teacher: Path | None = None
    rounds: int | None = None


def training_rounds(plan: Plan, out: Path, *, sources: Sources, device: str) -> Iterator[tuple[Plan, Path]]:
    """Yields the plans to train, each with its folder; the next is asked for when the one before is trained.

    A student of Noisy Student learns from the teacher, a finished run, into `out`. Without one the first teacher is
    trained from the labelled images into `round0`, then in each of the rounds, 1 by default, a student of the one
    before. Raises `UsageError` for a teacher or rounds of another method.
    """
    teacher, rounds = sources.teacher, sources.rounds
    if sources.unlabelled is not None:
        plan = with_unlabelled(plan, sources.unlabelled, folder=sources.folder)
    if plan.recipe.method.kind != NoisyStudent.name:
        if teacher is not None or rounds is not None:
            given = "--rounds" if teacher is None else "--teacher"
            raise UsageError(f"{given} goes with --method {NoisyStudent.name}, not with {plan.recipe.method.kind}")
        yield plan, out
        return
    if teacher is not None:
        if rounds not in (None, 1):
            raise UsageError(f"--teacher gives one round, not {rounds}; the next one is another command")
        yield with_teacher(plan, teacher, device=device), out
        return
    count = 1 if rounds is None else rounds
    if not 1 <= count <= MOST:
        raise UsageError(f"--rounds {count} must be at least 1 and at most {MOST}")
    yield first_teacher(plan), out / "round0"
    for number in range(1, count + 1):
        yield with_teacher(plan, out / f"round{number - 1}", device=device), out / f"round{number}"


def with_unlabelled(plan: Plan, reference: str, *, folder: Path | None = None) -> Plan:
    """Returns the plan with the images of another source as the unlabelled ones. Raises `UsageError`.

    They must have the channels of the data, none of them may be a validation or test image, and the method must use
    unlabelled images.
    """
    if not plan.recipe.method.unlabelled_ratio:
        raise UsageError(f"--unlabelled {reference} is not used by method={plan.recipe.method.kind}; leave it out")
    unlabelled = load_unlabelled(reference, folder=folder)
    channels, wanted = unlabelled.train.channels, plan.data.train.channels
    if channels != wanted:
        raise UsageError(
            f"the images of {reference} have {channels} channels, those of {plan.data.spec.name} {wanted}; both must "
            "have the same"
        )
    check_unseen(unlabelled, plan.data)
    require_readable(unlabelled)
    kept = [note for note in plan.notes if note != all_unlabelled(plan.data)]
    notes = (*kept, *unlabelled_notes(unlabelled, plan.data))
    return dataclasses.replace(plan, unlabelled=unlabelled.kept(), notes=notes)


def first_teacher(plan: Plan) -> Plan:
    """Returns the plan of the teacher of a student's plan: the labelled images alone, with the same noise."""
    options = {**plan.options, "in_channels": plan.in_channels}
    recipe = recipe_of_teacher(plan.recipe)
    return make_plan(plan.architecture, data=plan.data, chosen=recipe, seed=plan.seed, options=options)
