"""Measures a step of FixMatch against the forward and backward passes that it contains, alternating, in one process.

The passes: labelled images, weak and strong views through the network as one batch in training mode, and backward from
one number of the logits. The step has, beside them, both losses, the optimizer and the moving average; the whole step
also makes its batch: it reads the images, flips, crops, RandAugment and cutout.

python bench/fixmatch_step.py --data-dir FOLDER        writes results/bench/fixmatch_step.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import torch
from turns import ratios

from convatlas.architectures import architecture
from convatlas.data import load_data
from convatlas.device import keep_freed_memory, network_input
from convatlas.files import write_json
from convatlas.layers import logits_of
from convatlas.measure.turns import take_turns
from convatlas.recipe import recipe
from convatlas.run import circumstances
from convatlas.training import Plan, build_learner, make_plan

GOAL = 1.15  # times the passes


def passes(plan: Plan, *, count: int) -> Callable[[], float]:
    """Returns the work of the passes alone, on batches that are ready."""
    learner = build_learner(plan, device="cpu")
    network = learner.objective.modules["network"]
    batches = [torch.cat([batch.images, *batch.views]) for batch in islice(learner.objective.batches(plan, 0), count)]

    def work() -> float:
        begun = time.perf_counter()
        for images in batches:
            network.zero_grad()
            logits_of(network(network_input(images))).square().mean().backward()
        return time.perf_counter() - begun

    return work


def steps(plan: Plan, *, count: int) -> Callable[[], float]:
    """Returns the work of whole steps but for their batches, which are ready."""
    learner = build_learner(plan, device="cpu")
    batches = [*islice(learner.objective.batches(plan, 0), count)]

    def work() -> float:
        learner.begin_epoch(seed=plan.seed, epoch=0)
        begun = time.perf_counter()
        for batch in batches:
            learner.step(batch)
        return time.perf_counter() - begun

    return work


def whole_steps(plan: Plan, *, count: int) -> Callable[[], float]:
    """Returns the work of whole steps, which make their batches."""
    learner = build_learner(plan, device="cpu")

    def work() -> float:
        learner.begin_epoch(seed=plan.seed, epoch=0)
        begun = time.perf_counter()
        for batch in islice(learner.objective.batches(plan, 0), count):
            learner.step(batch)
        return time.perf_counter() - begun

    return work


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--network", default="wide_resnet28_2")
    parser.add_argument("--batch-size", type=int, default=16, help="labelled images in a step; 14 times as many views")
    parser.add_argument("--steps", type=int, default=2, help="steps of each measurement")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("results/bench/fixmatch_step.json"))
    wanted = parser.parse_args(words)
    if wanted.threads is not None:
        torch.set_num_threads(wanted.threads)
    keep_freed_memory()
    chosen = recipe("fixmatch").replaced(labels=4000.0, batch_size=wanted.batch_size)
    plan = make_plan(
        architecture(wanted.network), data=load_data("cifar10", folder=wanted.data_dir), chosen=chosen, seed=0
    )
    works = {"passes": passes, "step": steps, "whole step": whole_steps}
    seconds = take_turns({name: work(plan, count=wanted.steps) for name, work in works.items()}, rounds=wanted.rounds)
    each = {name: statistics.median(values) / wanted.steps for name, values in seconds.items()}
    times = {name: value / each["passes"] for name, value in each.items()}
    print({name: f"{1000 * each[name]:.0f} ms, {times[name]:.3f} times the passes" for name in each})
    command = f"python bench/fixmatch_step.py --network {wanted.network} --batch-size {wanted.batch_size} "
    command += f"--steps {wanted.steps} --rounds {wanted.rounds}"
    found = {"goal": GOAL, "milliseconds_per_step": {name: 1000 * value for name, value in each.items()}}
    found |= {"times_the_passes": times, "speed_ups": ratios(seconds, of="passes"), "seconds": seconds}
    sizes = {"network": wanted.network, "batch_size": wanted.batch_size, "steps": wanted.steps}
    write_json(wanted.out, {**circumstances(), **sizes, **found, "command": command})


if __name__ == "__main__":
    main()
