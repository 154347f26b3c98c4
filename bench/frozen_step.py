"""Measures training steps of a network whose body is frozen against full ones, alternating, in one process.

Both train EfficientNet-Lite0 from its ImageNet weights by the recipe `full` on the same batches, which are ready. With
`frozen=all_but_head` the body works as in evaluation and has no gradients; the images still go through it in each step,
as they do where they change at random.

python bench/frozen_step.py --data-dir FOLDER        writes results/bench/frozen_step.json
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from probe import plan_of
from turns import ratios

from convatlas.device import keep_freed_memory
from convatlas.files import write_json
from convatlas.measure.turns import take_turns
from convatlas.recipe import ALL_BUT_HEAD
from convatlas.run import circumstances
from convatlas.training import Plan, build_learner


def steps(plan: Plan, *, count: int) -> Callable[[], float]:
    """Returns the work that takes some training steps on batches that are ready."""
    learner = build_learner(plan, device="cpu")
    learner.begin_epoch(seed=plan.seed, epoch=0)
    batches = [*islice(learner.objective.batches(plan, 0), count)]

    def work() -> float:
        begun = time.perf_counter()
        for batch in batches:
            learner.step(batch)
        return time.perf_counter() - begun

    return work


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=8, help="training steps of each measurement")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/bench/frozen_step.json"))
    wanted = parser.parse_args(words)
    folder, images = wanted.data_dir, wanted.steps * wanted.batch_size
    sizes = {"image_size": wanted.image_size, "batch_size": wanted.batch_size}
    full = plan_of(folder, images=images, recipe="full", **sizes)
    frozen = plan_of(folder, images=images, recipe="full", frozen=ALL_BUT_HEAD, **sizes)
    keep_freed_memory()
    works = {"full": steps(full, count=wanted.steps), "frozen": steps(frozen, count=wanted.steps)}
    seconds = take_turns(works, rounds=wanted.rounds)
    ratio = ratios(seconds, of="frozen")["full"]
    print(f"a frozen step costs {ratio['median']:.3f} of a full one ({ratio['min']:.3f} to {ratio['max']:.3f})")
    command = f"python bench/frozen_step.py --data-dir FOLDER --batch-size {wanted.batch_size} "
    command += f"--image-size {wanted.image_size} --steps {wanted.steps} --rounds {wanted.rounds} --out {wanted.out}"
    described = {**sizes, "steps": wanted.steps, "weights": full.start.base, "command": command}
    write_json(
        wanted.out, {**circumstances(), "seconds": seconds, "ratio": ratio, "load": os.getloadavg()[0], **described}
    )


if __name__ == "__main__":
    main()
