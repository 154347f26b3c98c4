"""pycocotools' twelve numbers for a truth and results in files: `python tests/coco_parity.py TRUTH RESULTS`.

It runs in a process of its own, see `oracles`.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from importlib import import_module

from oracles import FOLDER


def numbers(truth: str, results: str) -> list[float]:
    """Returns the numbers in COCO's order; -1 where there is nothing to measure."""
    sys.path.insert(0, str(FOLDER))
    coco, evaluation = import_module("pycocotools.coco"), import_module("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = coco.COCO(truth)
        evaluated = evaluation.COCOeval(wanted, wanted.loadRes(results), "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    found: list[float] = evaluated.stats.tolist()
    return found


if __name__ == "__main__":
    print(json.dumps(numbers(*sys.argv[1:])))
