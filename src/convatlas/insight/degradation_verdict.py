"""The verdict on degradation: what depth does to the training error, in words, beside He et al. 2015."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PAPER = {"plain": 1, "resnet": -1}  # the sign of the change of the training error with the depth


def verdict(effects: Sequence[dict[str, Any]], *, short: str | None) -> str:
    """Returns in words what depth does to the training error of each kind, and whether the paper found the same."""
    parts = [_change(effect) for effect in effects]
    sentence = f"With more layers, the training error {'; '.join(parts)}"
    known = [effect for effect in effects if effect["kind"] in PAPER]
    if known:
        sentence += f". {_beside_paper(known, short=short is not None)}"
    if short is not None:
        sentence += f". These are short runs, {short}: longer ones may end otherwise"
    return sentence + "."


def _change(effect: dict[str, Any]) -> str:
    """Returns the words for the change of the training error of a kind."""
    found = effect["training"]
    between = f"of {effect['kind']} ({effect['layers'][0]} to {effect['layers'][1]})"
    if found["mean"] is None:
        return f"{between} is not known, because a run diverged"
    moved = "rises" if found["mean"] > 0 else "falls" if found["mean"] < 0 else "stays"
    size = "" if moved == "stays" else f" by {100 * abs(found['mean']):.2f} points"
    if found["ci95"] is None:
        return f"{between} {moved}{size} ({effect['seeds']}: no interval)"
    low, high = (100 * end for end in found["ci95"])
    chance = "" if low > 0 or high < 0 else ", no more than chance"
    return f"{between} {moved}{size} (95 % interval {low:+.2f} to {high:+.2f}{chance})"


def _beside_paper(effects: Sequence[dict[str, Any]], *, short: bool) -> str:
    """Returns the clause that compares the changes with those of He et al. 2015."""
    unlike, open_ = [], []
    for effect in effects:
        found, sign = effect["training"], PAPER[effect["kind"]]
        if found["mean"] is None or (found["ci95"] is not None and found["ci95"][0] <= 0 <= found["ci95"][1]):
            open_.append(effect["kind"])
        elif found["mean"] * sign <= 0:
            unlike.append(f"of {effect['kind']} {'rises' if sign > 0 else 'falls'}")
    if unlike:
        tested = all(effect["training"]["ci95"] for effect in effects)
        if short:
            said = f"In He et al. 2015, after the full training, that {' and '.join(unlike)} with the depth"
            return said if tested else f"{said}; with so few seeds the difference may be chance"
        found = f"He et al. 2015, where the training error {' and '.join(unlike)} with the depth"
        return f"This contradicts {found}" if tested else f"This differs from {found}, but may be chance"
    if open_:
        return f"This neither confirms nor contradicts He et al. 2015 for {' and '.join(open_)}"
    tested = all(effect["training"]["ci95"] for effect in effects)
    return "He et al. 2015 report the same direction" + ("" if tested else "; with so few seeds it may be chance")
