"""Published and own checkpoints: read without running code, translate the keys, load strictly."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.architecture import KeyTable, KeyTables
from convatlas.errors import UsageError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint file as plain data and tensors on the CPU; nothing but these is unpickled.

    Raises `UsageError` for a file that is missing, that is no checkpoint or that holds other objects.
    """
    if not path.is_file():
        raise UsageError(f"no checkpoint at {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path} is no checkpoint of tensors and plain data: {reason}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds a {type(content).__name__}, not the dictionary of a checkpoint")
    return content


def network_state(checkpoint: Mapping[str, Any], *, prefix: str) -> dict[str, Tensor]:
    """The tensors under `prefix` in a Lightning checkpoint's `state_dict`, the prefix removed.

    >>> network_state({"state_dict": {"network.fc.bias": torch.zeros(1)}}, prefix="network.")
    {'fc.bias': tensor([0.])}
    """
    state = checkpoint.get("state_dict")
    if not isinstance(state, Mapping):
        raise UsageError(f"the checkpoint has no 'state_dict'; it has {', '.join(map(str, checkpoint)) or 'nothing'}")
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def translate_keys(state: Mapping[str, Tensor], table: KeyTables) -> dict[str, Tensor]:
    """Published key names to ours; a tuple of tables is applied in turn.

    A row maps a dotted prefix of theirs to ours: `{}` is a number, `{-1}` and `{+1}` on our side that number shifted,
    `None` drops the key; the first row that matches wins. Raises `UsageError` for a key that no row matches, a row
    that matches no key, and two keys that become one.

    >>> translate_keys({"layer2.0.bn1.weight": torch.ones(1)}, {"layer{}.{}.bn{}": "stage{}.{}.norm{-1}"})
    {'stage2.0.norm0.weight': tensor([1.])}
    """
    tables = table if isinstance(table, tuple) else (table,)
    translated = dict(state)
    for single in tables:
        translated = _translate_once(translated, single)
    return translated


def _translate_once(state: Mapping[str, Tensor], table: KeyTable) -> dict[str, Tensor]:
    patterns = [
        (row, re.compile(re.escape(row).replace(r"\{\}", r"(\d+)") + r"(?=\.|$)"), ours) for row, ours in table.items()
    ]
    used: set[str] = set()
    result: dict[str, Tensor] = {}
    unmatched: list[str] = []
    for key, tensor in state.items():
        for row, pattern, ours in patterns:  # noqa: B007
            match = pattern.match(key)
            if match:
                break
        else:
            unmatched.append(key)
            continue
        used.add(row)
        if ours is None:
            continue
        renamed = _fill(ours, match.groups()) + key[match.end() :]
        if renamed in result:
            raise UsageError(f"two checkpoint keys become {renamed!r}; one of them is {key!r}")
        result[renamed] = tensor
    dead = [row for row in table if row not in used]
    if unmatched or dead:
        problems = [f"{len(unmatched)} keys are unknown, such as {unmatched[0]!r}"] if unmatched else []
        problems += [f"{len(dead)} expected ones are missing, such as {dead[0]!r}"] if dead else []
        raise UsageError(f"the checkpoint is of another network: {'; '.join(problems)}")
    return result


def _fill(template: str, numbers: tuple[str, ...]) -> str:
    """`stage{}.{-1}` with ("2", "3") is `stage2.2`."""
    remaining = iter(numbers)
    return re.sub(r"\{([+-]\d+)?\}", lambda hole: str(int(next(remaining)) + int(hole[1] or 0)), template)


def load_strictly(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copies `state` into the network; every key and every shape must agree, else `UsageError` with the differences."""
    ours = network.state_dict()
    differences = [f"- {key} (missing)" for key in ours if key not in state]
    differences += [f"+ {key} (unknown)" for key in state if key not in ours]
    differences += [
        f"! {key} (shape {tuple(state[key].shape)}, here {tuple(tensor.shape)})"
        for key, tensor in ours.items()
        if key in state and state[key].shape != tensor.shape
    ]
    if differences:
        more = f" and {len(differences) - 4} more" if len(differences) > 4 else ""
        raise UsageError(f"the checkpoint does not fit the network: {'; '.join(differences[:4])}{more}")
    network.load_state_dict(dict(state), strict=True)
