"""Measures speeds and trainings that need a GPU, in calls of limited time; each call continues the last one.

First come the speeds of three epochs of each of the tutorial's networks, the tutorial's way and ours in turn. Then come
whole trainings of 180 epochs with the tutorial's recipes and trainings with `fast_cifar`, over seeds. A finished run is
not trained again.

python bench/gpu.py --data-dir FOLDER --minutes 9        repeat the command until it says that everything is there
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import train_throughput
from torch.utils.data import DataLoader

from convatlas import compare
from convatlas.architectures import architecture
from convatlas.data import DataSet, load_data
from convatlas.files import read_json, write_json
from convatlas.run import circumstances
from convatlas.training import Plan, build_learner, choose_recipe, make_plan
from convatlas.training.engine.adapter import DataModule, LearnerModule

RECIPES = {
    "resnet_uva": "uva_sgd",
    "preact_resnet_uva": "uva_sgd",
    "googlenet_uva": "uva_adam",
    "densenet_uva": "uva_adam",
}
RATE_EPOCHS, ROUNDS = 3, 2


def rates(network: str, data: DataSet, *, wanted: argparse.Namespace) -> dict[str, list[float]]:
    """Returns images per second over three epochs: the tutorial's way, ours in two precisions, in alternating order."""
    ways: dict[str, Callable[[], float]] = {
        "tutorial": lambda: tutorial_rate(plan_of(network, data, precision="float32"), wanted)
    }
    for precision in ("float32", "bf16"):
        ways[f"ours {precision}"] = partial(our_rate, plan_of(network, data, precision=precision), wanted)
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUNDS):
        for way in list(ways) if number % 2 else reversed(ways):
            speeds[way].append(ways[way]())
    return speeds


def plan_of(network: str, data: DataSet, *, precision: str) -> Plan:
    row = architecture(network)
    settings = {"precision": precision, "epochs": str(RATE_EPOCHS)}
    chosen = choose_recipe(row, data=data.spec.name, name=RECIPES[network], settings=settings)
    return make_plan(row, data=data, chosen=chosen, seed=0)


def tutorial_rate(plan: Plan, wanted: argparse.Namespace) -> float:
    """Returns images per second of the tutorial's way, after its first steps."""
    clock = clock_of(plan)
    images = train_throughput.TutorialData(plan.data.train, plan.recipe)
    loader = DataLoader(images, plan.recipe.batch_size, shuffle=True, drop_last=True, num_workers=4)
    trainer = train_throughput.trainer(train_throughput.Ticking(clock), device=wanted.device, epochs=RATE_EPOCHS)
    trainer.fit(train_throughput.TutorialModule(plan), loader)
    return plan.recipe.batch_size * clock.steps / clock.seconds()


def our_rate(plan: Plan, wanted: argparse.Namespace) -> float:
    """Returns images per second of the steps of `convatlas train`, after the first ones."""
    clock, here = clock_of(plan), plan.on(wanted.device)
    learner = build_learner(here, device=wanted.device)
    module = LearnerModule(here, learner)
    module.stepped = clock.tick
    trainer = train_throughput.trainer(device=wanted.device, epochs=RATE_EPOCHS)
    trainer.fit(module, datamodule=DataModule(here, learner))
    return plan.recipe.batch_size * clock.steps / clock.seconds()


def clock_of(plan: Plan) -> train_throughput.Clock:
    """Returns a clock for the steps of all epochs, without the first steps and the last ones."""
    steps = RATE_EPOCHS * (len(plan.data.train) // plan.recipe.batch_size)
    counted = steps - train_throughput.WARM_UP - train_throughput.AHEAD - 1
    if counted < 1:
        raise ValueError(f"{len(plan.data.train)} images are too few for a rate")
    return train_throughput.Clock(counted)


def trainings(network: str, *, wanted: argparse.Namespace) -> None:
    """Trains over seeds with the tutorial's recipe and with `fast_cifar`; the study lies in the runs' folder."""
    compare(
        [f"{network}@{RECIPES[network]}", f"{network}@fast_cifar"],
        out=wanted.runs / network,
        data=wanted.data,
        data_dir=wanted.data_dir,
        seeds=wanted.seeds,
        settings={"precision": wanted.precision, **({"epochs": wanted.epochs} if wanted.epochs else {})},
        resume=True,
        device=wanted.device,
        quiet=True,
    )
    write_json(wanted.out / f"{network}.json", read_json(wanted.runs / network / "results.json"))


def work(wanted: argparse.Namespace) -> None:
    """Does all missing work, speeds first."""
    data = load_data(wanted.data, folder=wanted.data_dir)
    target = wanted.out / "rates.json"
    measured = read_json(target)["results"] if target.is_file() else {}
    for network in wanted.networks:
        if network not in measured:
            measured[network] = rates(network, data, wanted=wanted)
            write_json(target, {**circumstances(), "results": measured, "command": command(wanted)})
            print(f"{network}: {measured[network]} images/s", flush=True)
    for network in wanted.networks:
        if not (wanted.out / f"{network}.json").is_file():
            trainings(network, wanted=wanted)
            print(f"{network}: trained", flush=True)


def command(wanted: argparse.Namespace) -> str:
    return f"python bench/gpu.py --data-dir FOLDER --precision {wanted.precision} --seeds {wanted.seeds}"


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--networks", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--precision", default="bf16", choices=("float32", "bf16"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", help="epochs instead of each recipe's own")
    parser.add_argument("--minutes", type=float, default=9.0, help="the time after which a call stops")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--runs", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    wanted = parser.parse_args(words)
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60 * wanted.minutes)
    try:
        work(wanted)
        print("everything is there")
    except (KeyboardInterrupt, SystemExit):  # Lightning turns KeyboardInterrupt into SystemExit
        print("time is up; the same command goes on")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
