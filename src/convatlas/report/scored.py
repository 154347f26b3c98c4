"""The score of a row in a report: its values, and the words about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from convatlas.run import RunRecord
from convatlas.scores import BESIDE, TOP1, Score, distinct_scores

Row = dict[str, Any]
Part = Literal["val", "test"]
PARTS: tuple[Part, ...] = ("val", "test")


def score_of(row: Mapping[str, Any]) -> Score:
    """Returns the score of a row of `results.json`; a row without one is ranked by accuracy."""
    return Score(**row["score"]) if "score" in row else TOP1


def described(score: Score) -> dict[str, str]:
    """Returns a score as plain data, for `results.json`."""
    return {**asdict(score), "title": score.word}


def scores_of(rows: Sequence[Row]) -> list[Score]:
    """Returns the different scores of rows, the accuracy first."""
    return distinct_scores(map(score_of, rows))


def value_of(row: Row, part: Part, statistic: Literal["mean", "std", "ci95"]) -> Any:
    """Returns a statistic of the row's score over its seeds; None where it is not known."""
    return row[f"{part}_{_name(row)}_{statistic}"]


def seed_value(row: Row, run: Mapping[str, Any], part: Part) -> float | None:
    """Returns the score of one of the row's runs; None where it is not known."""
    value: float | None = run[f"{part}_{_name(row)}"]
    return value


def _name(row: Row) -> str:
    return "score" if "score" in row else "top1"


def title(scores: Sequence[Score]) -> str:
    """Returns one word for all the scores of a report.

    >>> title([TOP1]), title([TOP1, Score("ap")])
    ('accuracy', 'score')
    """
    return scores[0].word if len(scores) == 1 else "score"


def with_direction(score: Score) -> str:
    """Returns the score with its unit and its direction.

    >>> with_direction(Score("ap", title="average precision")), with_direction(Score("loss", "min", "number"))
    ('average precision in percent, higher is better', 'loss, lower is better')
    """
    return f"{score.word}{' in percent' if score.unit == 'fraction' else ''}, {score.advice}"


def better_place(scores: Sequence[Score]) -> str:
    """Returns the sentence that says where the better networks stand in the figure of scores against costs.

    >>> better_place([Score("loss", "min", "number")])
    'Down and to the left is better: lower loss for less arithmetic.'
    """
    if len(scores) > 1:
        return "Each panel shows one score; to the left is less arithmetic."
    side, comparative = ("Up", "higher") if scores[0].direction == "max" else ("Down", "lower")
    gain = "more accurate" if scores[0] == TOP1 else f"{comparative} {scores[0].word}"
    return f"{side} and to the left is better: {gain} for less arithmetic."


def not_ranked(scores: Sequence[Score]) -> str | None:
    """Returns the line that networks of different scores are not ranked against each other; None for one score.

    >>> not_ranked([TOP1, Score("ap")])
    'Networks scored by accuracy and by ap are not ranked against each other.'
    """
    if len(scores) < 2:
        return None
    *words, last = (f"by {score.word}" for score in scores)
    return f"Networks scored {', '.join(words)} and {last} are not ranked against each other."


def with_beside(rows: Sequence[Row], headings: list[str], table: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Returns a table with a column for each measure that stands beside the score of some row, such as AP50."""
    known = [
        found for row in rows if (found := BESIDE.get(score_of(row).measure)) and f"{found.test_column}_mean" in row
    ]
    for beside in dict.fromkeys(known):
        place = headings.index("n")
        headings.insert(place, beside.word)
        for texts, row in zip(table, rows, strict=True):
            texts.insert(place, beside.shown(row.get(f"{beside.test_column}_mean")))
    return headings, table


def method_columns(record: RunRecord) -> Row:
    """Returns the columns of a method for few labels, and the number of labelled images; none for other trainings."""
    method = record.recipe.get("method")
    if not method:
        return {}
    return {"method": method, "labels": record.labelled.count if record.labelled else record.data.train}
