"""BiT-HyperRule: a recipe for fine-tuning from the number of the training images and their area.

Kolesnikov et al. Big Transfer (BiT): General Visual Representation Learning. ECCV 2020.
https://arxiv.org/abs/1912.11370. The released code, https://github.com/google-research/big_transfer, and the paper
differ in the sizes of images and in the steps of small tasks: each has a rule here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from convatlas.recipe.rule import DataFacts, RecipeRule

SIDE = 96  # pixels: images of a smaller area are small
RATE, MOMENTUM, BATCH, MIXUP = 0.003, 0.9, 512, 0.1
EVALUATED = 25  # steps after which the authors' notebook measures
EXPECTED = (
    "BiT-M in PyTorch, in batches of 128 at 0.001: R50x1 97.4 % on CIFAR-10, 86.6 % on CIFAR-100 (not trained here)"
)
NOT_SMALL, LARGE = 20_000, 500_000  # training images from which a task is medium, and large


@dataclass(frozen=True)
class Form:
    """What one form of the rule says.

    `milestones` are the steps of the three decays of small, medium and large tasks. `small` and `large` are the sides
    of the resized image and of the part that is cut out of it. Images of `SIDE` squared pixels belong to `exact`.
    """

    milestones: tuple[tuple[int, int, int], ...]
    small: tuple[int, int]
    large: tuple[int, int]
    exact: tuple[int, int]


# The code divides the rate one step after the numbers that it names, such as 3,000.
RELEASED = Form(
    milestones=((201, 301, 401), (3001, 6001, 9001), (6001, 12_001, 18_001)),
    small=(160, 128),
    large=(512, 480),
    exact=(512, 480),
)
PAPER = Form(
    milestones=((150, 300, 450), (3000, 6000, 9000), (6000, 12_000, 18_000)),
    small=(160, 128),
    large=(448, 384),
    exact=(160, 128),
)
LENGTHS = ((100, 500), (500, 10_000), (500, 20_000))  # steps of warm-up and of all; the warm-up is that of the code
TASKS = ("small", "medium", "large")


@dataclass(frozen=True)
class Decision:
    """One decision of the rule: the fields of the recipe that it sets, and the reason."""

    fields: Mapping[str, Any]
    reason: str


def decisions(facts: DataFacts, *, form: Form) -> tuple[Decision, Decision]:
    """Returns what the rule decides by the number of images, and what by their area."""
    task = (facts.images >= NOT_SMALL) + (facts.images >= LARGE)
    warmup, steps = LENGTHS[task]
    bounds = (f"fewer than {NOT_SMALL:,}", f"{NOT_SMALL:,} or more, fewer than {LARGE:,}", f"{LARGE:,} or more")
    length = Decision(
        {
            "steps": steps,
            "warmup_steps": warmup,
            "milestones": form.milestones[task],
            "mixup": MIXUP if task else 0.0,
        },
        f"{facts.images:,} training images, {bounds[task]}: a {TASKS[task]} task",
    )
    return length, _size(facts, form)


def _size(facts: DataFacts, form: Form) -> Decision:
    """Returns the decision by the area of the images."""
    if facts.height is None or facts.width is None:
        side, crop = form.large
        reason = "the sizes of the images differ or were not read, which counts as large"
    else:
        area = facts.height * facts.width
        side, crop = form.small if area < SIDE**2 else form.large if area > SIDE**2 else form.exact
        words = "a smaller area than" if area < SIDE**2 else "a larger area than" if area > SIDE**2 else "the area of"
        reason = f"{facts.height} x {facts.width} pixels, {words} {SIDE} x {SIDE}"
    return Decision({"shorter_side": side, "image_size": crop}, reason)


def values(facts: DataFacts, *, form: Form) -> dict[str, Any]:
    """Returns the flat values of the recipe for a data set."""
    decided = {name: value for decision in decisions(facts, form=form) for name, value in decision.fields.items()}
    return {
        **decided,
        "batch_size": BATCH,
        "epoch_steps": EVALUATED,
        "optimizer": "sgd",
        "lr": RATE,
        "momentum": MOMENTUM,
        "schedule": "multi_step",
        "interpolation": "bilinear",
        "fit": "squash",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "flip": 0.5,
        "crop": "random",
    }


def _rule(name: str, form: Form, source: str) -> RecipeRule:
    decides = ("steps", "shorter_side", "image_size", "mixup")
    return RecipeRule(name, source, EXPECTED, decides, partial(values, form=form))


FORMS = {"bit_hyperrule": RELEASED, "bit_hyperrule_paper": PAPER}
RULES = (
    _rule(
        "bit_hyperrule",
        RELEASED,
        "Kolesnikov et al. 2020, as in the released code: https://github.com/google-research/big_transfer, "
        "bit_hyperrule.py and bit_pytorch/train.py",
    ),
    _rule(
        "bit_hyperrule_paper",
        PAPER,
        "Kolesnikov et al. 2020, section 3.3, as in the paper: other sizes, and decays at 30, 60 and 90 % of small "
        "tasks too; the warm-up is that of the released code",
    ),
)
