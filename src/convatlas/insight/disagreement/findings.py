"""The findings about the members: their pairs, the images on which they differ, and their average; NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from convatlas.insight.disagreement.averaging import Tested, averaged, choose
from convatlas.insight.disagreement.members import Members
from convatlas.insight.disagreement.statistics import Pair, disputes, mean_of, pairs_of, probabilities

SHOWN = 12  # images of a kind in the pictures
SAME, OTHER = "one network, two seeds", "two networks"


def findings(members: Members) -> dict[str, Any]:
    """Returns all findings as plain data; members have their numbers from 1."""
    labels, validation_labels = members.labels("test"), members.labels("val")
    test = [probabilities(logits) for logits in members.logits("test")]
    validation = [probabilities(logits) for logits in members.logits("val")]
    answers = np.stack([each.argmax(axis=1) for each in test])
    right = answers == labels
    pairs = pairs_of(answers, labels)
    data = members.all[0].run.record.data
    average = _average(test, labels, validation, validation_labels)
    return {
        "data": data.name,
        "images": {"validation": len(validation_labels), "test": len(labels)},
        "members": [
            {
                "number": number,
                "name": member.name,
                "network": member.network,
                "run": str(member.run.path),
                "validation": float((validation[number - 1].argmax(axis=1) == validation_labels).mean()),
                "test": float(right[number - 1].mean()),
            }
            for number, member in enumerate(members.all, start=1)
        ],
        "pairs": [_numbered(pair) for pair in pairs],
        "groups": _groups(pairs, [member.network for member in members.all]),
        "all_right": int(right.all(axis=0).sum()),
        **_images(answers, labels, test, members),
        "average": average,
        "verdict": _verdict(average, [member.name for member in members.all]),
        "notes": list(members.notes),
        "left_out": list(members.left_out),
    }


def _numbered(pair: Pair) -> dict[str, Any]:
    """Returns a pair as plain data, with the members' numbers from 1."""
    return {**asdict(pair), "first": pair.first + 1, "second": pair.second + 1}


def _groups(pairs: Sequence[Pair], networks: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the mean kappa and phi of the pairs of one network, and of those of two networks."""
    found = []
    for title in (SAME, OTHER):
        chosen = [pair for pair in pairs if (networks[pair.first] == networks[pair.second]) == (title == SAME)]
        if chosen:
            found.append(
                {
                    "pairs": title,
                    "n": len(chosen),
                    "same": mean_of([pair.same for pair in chosen]),
                    "kappa": mean_of([pair.kappa for pair in chosen]),
                    "phi": mean_of([pair.phi for pair in chosen]),
                }
            )
    return found


def _images(
    answers: np.ndarray, labels: np.ndarray, test: Sequence[np.ndarray], members: Members
) -> dict[str, dict[str, Any]]:
    """Returns the images that all get wrong, the surest mistakes first, and those on which the members differ."""
    certainty = np.stack([each.max(axis=1) for each in test])
    wrong = np.flatnonzero((answers != labels).all(axis=0))
    wrong = wrong[np.argsort(-certainty[:, wrong].mean(axis=0), kind="stable")]
    index, classes = members.all[0].arrays["test_index"], members.all[0].run.record.data.classes

    def shown(place: int) -> dict[str, Any]:
        given: dict[str, list[int]] = {}
        for number, answer in enumerate(answers[:, place].tolist(), start=1):
            given.setdefault(classes[answer], []).append(number)
        ordered = sorted(given.items(), key=lambda item: -len(item[1]))
        return {
            "place": place,
            "index": int(index[place]),
            "class": classes[int(labels[place])],
            "answers": [{"class": name, "members": numbers} for name, numbers in ordered],
        }

    return {
        name: {
            "count": len(places),
            "index": index[places].tolist(),
            "shown": [shown(place) for place in places[:SHOWN].tolist()],
        }
        for name, places in (("all_wrong", wrong), ("differ", disputes(answers, certainty)))
    }


def _average(
    test: Sequence[np.ndarray], labels: np.ndarray, validation: Sequence[np.ndarray], validation_labels: np.ndarray
) -> dict[str, Any]:
    """Returns the members that validation chooses, and what their mean and that of all give on the test images."""
    chosen = choose(validation, validation_labels)
    best = chosen.members[0]
    everyone = tuple(range(len(test)))
    single = averaged(test, labels, [best], best=best)
    averages = {"chosen": averaged(test, labels, chosen.members, best=best)}
    averages["all"] = averaged(test, labels, everyone, best=best)
    return {
        "best": {"member": best + 1, "correct": single.correct, "accuracy": single.accuracy},
        "validation": list(chosen.accuracies),
        **{name: _tested(each) for name, each in averages.items()},
    }


def _tested(found: Tested) -> dict[str, Any]:
    """Returns an average as plain data, with the members' numbers from 1."""
    gain = found.gain
    return {
        "members": [member + 1 for member in found.members],
        "correct": found.correct,
        "accuracy": found.accuracy,
        "gain": {"mean": gain.mean, "ci95": [gain.low, gain.high], "significant": gain.significant},
    }


def _verdict(average: dict[str, Any], names: Sequence[str]) -> str:
    """Returns in words whether the average that validation chooses is better than the best single network."""
    best, chosen = average["best"], average["chosen"]
    single = f"{names[best['member'] - 1]}, the best single network on validation"
    if len(chosen["members"]) == 1:
        return f"No second network raises the validation accuracy of {single}: validation chooses no average."
    gain = chosen["gain"]
    low, high = (100 * end for end in gain["ci95"])
    verdict = "more than chance" if gain["significant"] else "no more than chance"
    direction = "ahead of" if gain["mean"] > 0 else "behind" if gain["mean"] < 0 else "level with"
    points = f" by {100 * abs(gain['mean']):.2f} points" if gain["mean"] else ""
    return (
        f"The average of the {len(chosen['members'])} networks that validation chooses is {direction} {single},"
        f"{points} on test (95 % interval {low:+.2f} to {high:+.2f} over the test images): {verdict}."
    )
