"""The references of the parity tests, in their own folder: torchvision, timm, effdet, pycocotools, EfficientNet-Lite.

They are in no environment: torchvision's compiled part fits one build of torch only, and where it is broken, Lightning
and torchmetrics, which look for it, break with it. So `make test` installs all without dependencies into `.oracles`,
and they are imported only in processes that are neither pytest's nor Lightning's.
"""

from __future__ import annotations

import functools
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, NoReturn

import torch

FOLDER = Path(__file__).parent.parent / ".oracles"
INSTALLED = FOLDER / ".installed"  # written last
# torchvision's Python files register shape rules for these; without its compiled part, nobody has defined them.
OPERATORS = ("nms", "qnms")
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class Oracles(NamedTuple):
    """The libraries, and the definitions of operators, which live as long as this."""

    torchvision: ModuleType
    timm: ModuleType
    lite: ModuleType
    operators: torch.library.Library


@functools.cache
def load_oracles() -> Oracles:
    """Imports them. Raises `RuntimeError` in a process that has imported pytest, Lightning or another torchvision."""
    if unwanted := {"pytest", "lightning", "torchvision"} & sys.modules.keys():
        raise RuntimeError(f"the oracles need a process of their own; this one has {', '.join(sorted(unwanted))}")
    operators = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for operator in OPERATORS:
        operators.define(operator + SIGNATURE)  # type: ignore[no-untyped-call]
    sys.path.insert(0, str(FOLDER))
    load_library = torch.ops.load_library
    # Where the compiled part fits, it would define the operators a second time.
    torch.ops.load_library = _refuse  # type: ignore[method-assign]
    try:
        names = ("torchvision", "timm", "efficientnet_lite_pytorch")
        return Oracles(*map(import_module, names), operators)
    finally:
        torch.ops.load_library = load_library  # type: ignore[method-assign]


@functools.cache
def load_effdet() -> ModuleType:
    """Imports effdet, whose networks find boxes, as `load_oracles` does; without COCO's tools, for its evaluation."""
    load_oracles()
    sys.path.insert(0, str(FOLDER))
    for name in ("pycocotools", "pycocotools.coco", "pycocotools.cocoeval"):
        stand_in = ModuleType(name)
        stand_in.COCO = stand_in.COCOeval = None  # type: ignore[attr-defined]
        sys.modules[name] = stand_in
    return import_module("effdet")


def _refuse(path: str) -> NoReturn:
    raise OSError(f"{path} is not loaded: the Python files are all that is used")
