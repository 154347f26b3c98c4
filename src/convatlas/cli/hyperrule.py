"""`hyperrule`: what BiT-HyperRule decides for a data set, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convatlas import values
from convatlas.cli import options
from convatlas.cli.program import app
from convatlas.errors import unknown

if TYPE_CHECKING:
    from convatlas.recipe import Recipe
    from convatlas.recipe.named.hyperrule import Decision


@app.command()
def hyperrule(
    data: Annotated[str, typer.Option("--data", help=f"Data set: {options.DATA_HELP}.")],
    data_dir: options.DataDir = None,
    rule: Annotated[
        str, typer.Option("--rule", help="bit_hyperrule (the released code) or bit_hyperrule_paper.")
    ] = "bit_hyperrule",
    as_json: options.AsJson = False,
) -> None:
    """Say which recipe BiT-HyperRule makes for a data set, and why.

    The rule reads the number of the training images and their area; nothing is trained.

    Example: convatlas hyperrule --data digits
    """
    from convatlas.data_names import check_reference
    from convatlas.recipe.named.hyperrule import FORMS, decisions

    if rule not in FORMS:
        raise unknown("rule", rule, FORMS)
    check_reference(data)

    from convatlas.data import class_labels, load_data
    from convatlas.data.fitting import facts_of
    from convatlas.recipe import recipe_for

    loaded = load_data(data, folder=data_dir)
    class_labels(loaded.train, needed_by=rule)
    facts = facts_of(loaded)
    made = recipe_for(rule, facts)
    decided = decisions(facts, form=FORMS[rule])
    if as_json:
        reasons = [{"fields": values.plain(each.fields), "reason": each.reason} for each in decided]
        plain = values.plain(made.flat())
        options.print_json({"rule": rule, "data": loaded.spec.name, "decisions": reasons, "recipe": plain})
    else:
        _print(made, decided)


def _print(made: Recipe, decided: Sequence[Decision]) -> None:
    """Prints the recipe, each decision with its reason, and the source of the rule."""
    lines = [f"recipe {made.summary()}"]
    for each in decided:
        fields = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in each.fields.items())
        lines.append(f"{each.reason}: {fields}")
    for line in (*lines, f"source {made.source}"):
        options.console().print(line, markup=False, highlight=False, soft_wrap=True)


def _shown(value: Any) -> str:
    return "+".join(f"{item:,}" for item in value) if isinstance(value, tuple) else f"{value:,}"
