"""What is counted of the registered networks, which many tests compare with what they have typed."""

from __future__ import annotations

import functools
import os
import pickle
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from convatlas.architectures import architecture
from convatlas.complexity import Complexity, meta_network, network_complexity


@dataclass(frozen=True)
class Counted:
    """The costs of a network at its declared size, its learned values, and its modules and tensors by their names."""

    complexity: Complexity
    parameters: int
    modules: Counter[str]  # by the names of their classes
    tensors: dict[str, tuple[int, ...]]


class Counts:
    """Counts each network once: the first process that asks writes the result into a folder, the others read it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(exist_ok=True)
        self._known = functools.cache(self._find)

    def __call__(self, name: str) -> Counted:
        return self._known(name)

    def _find(self, name: str) -> Counted:
        path = self._folder / f"{name}.pickle"
        if not path.exists():
            unfinished = path.with_suffix(f".{os.getpid()}")
            unfinished.write_bytes(pickle.dumps(count(name)))
            unfinished.replace(path)
        found: Counted = pickle.loads(path.read_bytes())
        return found


def count(name: str) -> Counted:
    """Counts a network without memory for its tensors."""
    row = architecture(name)
    network = meta_network(row)
    modules = Counter(type(module).__name__ for module in network.modules())
    tensors = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    costs = network_complexity(row, network, in_channels=row.in_channels, image_size=row.image_size)
    return Counted(costs, sum(parameter.numel() for parameter in network.parameters()), modules, tensors)
