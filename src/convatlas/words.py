"""Names and numbers as they are printed, and records as JSON can hold them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any


def label(name: str, options: Mapping[str, Any]) -> str:
    """Returns a name with its values, as a row shows it.

    >>> label("resnet_uva", {})
    'resnet_uva'
    >>> label("resnet_uva", {"depths": [2, 2, 2], "activation": "gelu"})
    'resnet_uva(depths=2,2,2, activation=gelu)'
    """
    return f"{name}({', '.join(f'{key}={plain(value)}' for key, value in options.items())})" if options else name


def file_name(text: str) -> str:
    """Returns a name with `_` in place of the characters that a shell would read.

    >>> file_name("resnet_uva(depths=2,2,2)@quick")
    'resnet_uva_depths=2,2,2_@quick'
    """
    return re.sub(r"[^\w.@=,+-]+", "_", text).strip("_")


def stacked(text: str) -> str:
    """Returns a label with each of its values on its own line, for narrow columns.

    >>> print(stacked("resnet_uva(depths=2,2,2, activation=gelu) @ quick"))
    resnet_uva
      depths=2,2,2
      activation=gelu
    @ quick
    """
    return (
        text.replace(") @ ", "\n@ ").replace(" @ ", "\n@ ").replace("(", "\n  ").replace(", ", "\n  ").removesuffix(")")
    )


def percent(value: float | None) -> str:
    """Returns a fraction in percent with two decimals, `-` for None.

    >>> percent(0.98056)
    '98.06'
    """
    return "-" if value is None else f"{100 * value:.2f}"


def seconds(value: float | None) -> str:
    """Returns a number of seconds, with a decimal if it is small.

    >>> seconds(4.236), seconds(1234.5), seconds(None)
    ('4.2', '1,234', '-')
    """
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def quantity(value: float | None) -> str:
    """Returns a count with three digits and its suffix.

    >>> quantity(10_129_024), quantity(4_089_184_256), quantity(850), quantity(999_999)
    ('10.1 M', '4.09 G', '850', '1.00 M')
    """
    if value is None:
        return "-"
    for suffix in ("", " k", " M", " G", " T"):
        if value < 999.5 or suffix == " T":
            break
        value /= 1000
    decimals = 0 if not suffix else 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f}{suffix}"


def finite(value: Any) -> Any:
    """Returns a record that JSON can hold: NaN and infinities become `None`.

    >>> finite({"loss": float("nan"), "shape": (1, 2)})
    {'loss': None, 'shape': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def canonical(value: Any) -> str:
    """Returns the one JSON text of a value, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True)


def plain(value: Any) -> str:
    """Returns a value of an option as a user types it.

    >>> plain([2, 2, 2])
    '2,2,2'
    """
    return ",".join(map(plain, value)) if isinstance(value, list | tuple) else str(value)


def is_part(part: str, name: str) -> bool:
    """Returns whether `part` is a parameter's name or the name of a module that holds it.

    >>> is_part("stage1", "stage1.conv.weight"), is_part("stage1", "stage10.conv.weight")
    (True, False)
    """
    return f"{name}.".startswith(f"{part}.")
