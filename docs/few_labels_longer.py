"""The section of docs/few_labels_example.md on twice as many steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from few_labels_words import LONGER, TEACHER, accuracy, course, gained, minutes, reached, spread
from page_script import wrapped

from convatlas.words import percent

Content = Mapping[str, Any]


def longer(content: Content) -> str:
    """Returns the section on the methods with more steps: table, and whether the aim is reached there."""
    before, after = (content[f"{start}supervised"]["runs"][0]["recipe"]["steps"] for start in ("", LONGER))
    said = (
        f"A first run of `meta_pseudo_labels` over {before:,} steps, of the program with two faults (see above), was "
        "below its aim on test and still rising on validation. Having seen both, we decided to train it and "
        f"`supervised` anew for {after:,} steps. Their rates fall over all of them; values that are parts of the "
        "training, such as `student_wait`, count more steps. The aim was not set for so many steps."
    )
    lines = [
        f"| method | n | test % after {before:,} steps | test % after {after:,} | 95 % interval "
        "| points above `supervised` (95 % interval) | validation %, end (best) | minutes a run |",
        "|:--|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for method in ("supervised", "meta_pseudo_labels"):
        member = content[LONGER + method]
        mean, low, high = spread(member["runs"])
        cells = [
            f"`{method}`",
            str(len(member["runs"])),
            percent(spread(content[method]["runs"])[0]),
            percent(mean),
            f"{percent(low)} to {percent(high)}",
            gained(member, f"{LONGER}supervised"),
            f"{percent(course(member['runs'])[-1])} ({percent(max(course(member['runs'])))})",
            f"{minutes(member['runs']):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    aim = (
        f"The aim of `meta_pseudo_labels` after {after:,} steps: {reached(content, f'{LONGER}meta_pseudo_labels')}. "
        f"{below_best(content, 'supervised')} {below_best(content, 'meta_pseudo_labels')} The other methods were not "
        "trained for so long. Labels alone, with RandAugment and cutout, reach "
        f"{percent(accuracy(content[TEACHER]['runs']))} % after {before:,} steps and "
        f"{minutes(content[TEACHER]['runs']):.0f} minutes (round 0 of `noisy_student`). So a large part of the gain "
        "may come from the changes of the images, which `supervised` does not have."
    )
    picture = "![Validation accuracy of both methods by steps](few_labels/longer.png)"
    parts = ["## Twice as many steps", wrapped(said), picture, "\n".join(lines), wrapped(aim)]
    return "\n\n".join(parts) + "\n"


def below_best(content: Content, method: str) -> str:
    """Returns the sentence on how far a method ends below its best moment on validation."""
    seen = course(content[LONGER + method]["runs"])
    if seen[-1] == max(seen):
        return f"On validation `{method}` is at its best at the end."
    return f"On validation `{method}` ends {percent(max(seen) - seen[-1])} points below its best."
