"""The section of docs/few_labels_example.md on twice as many steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from few_labels_words import LONGER, TEACHER, gained, minutes, percent, reached, spread, wrapped

Content = Mapping[str, Any]


def longer(content: Content) -> str:
    """Returns the section on the methods with more steps: table, and whether the aim is reached there."""
    before, after = (content[f"{start}supervised"]["runs"][0]["recipe"]["steps"] for start in ("", LONGER))
    said = (
        f"After {before:,} steps `meta_pseudo_labels` was below its aim and still rising. So we decided, having seen "
        f"this, to train it and `supervised` anew for {after:,} steps; their rates fall over all of them. The values "
        "of the recipes stayed as they were."
    )
    lines = [
        f"| method | n | test % after {before:,} steps | test % after {after:,} | 95 % interval "
        "| points above `supervised` (95 % interval) | minutes a run |",
        "|:--|--:|--:|--:|--:|--:|--:|",
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
            f"{minutes(member['runs']):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    aim = (
        f"The aim of `meta_pseudo_labels` after {after:,} steps: {reached(content, f'{LONGER}meta_pseudo_labels')}. "
        "The other methods were not trained for so long. Labels alone, with RandAugment, reach "
        f"{percent(spread(content[TEACHER]['runs'])[0])} % after {before:,} steps already (round 0 of "
        "`noisy_student`)."
    )
    table, picture = (
        "\n".join(lines),
        "![Validation accuracy of both methods by steps](few_labels/longer.png)",
    )
    return f"## Twice as many steps\n\n{wrapped(said)}\n\n{picture}\n\n{table}\n\n{wrapped(aim)}\n"
