"""The studies behind `fast_cifar`: variants of a recipe, on the same images, over the same seeds.

Only training images are read: the held-out 5,000 select, and the test images are never seen.

python bench/recipe_studies.py --data-dir FOLDER            all studies; what is there already is not trained again
python bench/recipe_studies.py --data-dir FOLDER schedule   one study; writes results/fast_cifar/schedule.json
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convatlas.architectures import architecture
from convatlas.data import DataSet, load_data
from convatlas.data.spec import Split
from convatlas.recipe import with_settings
from convatlas.recipes import recipe
from convatlas.run import Run, read_json, write_json
from convatlas.training import Plan, make_plan, train_plan

RESULTS = Path("results/fast_cifar")
RUNS = Path("runs/recipe_studies")


@dataclass(frozen=True)
class Study:
    """Variants of a recipe, each with every seed: `settings` are shared, a variant adds its own to them.

    `beside` is the study and the variant, trained on the same images, whose results stand in the first row.
    """

    question: str
    variants: dict[str, dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)
    base: str = "uva_sgd"
    network: str = "resnet_uva"
    images: int = 15_000
    epochs: int = 6
    seeds: tuple[int, ...] = (0, 1)
    beside: tuple[str, str] | None = None


CYCLE = {"schedule": "one_cycle", "milestones": ()}
SGD = {**CYCLE, "nesterov": True, "weight_decay": 5e-4}
STUDIES = {
    "schedule": Study(
        "How should the learning rate go over a short training, and how much should weights decay?",
        {
            "uva_sgd": {},
            "one_cycle at 0.1": CYCLE,
            "one_cycle at 0.3": {**CYCLE, "lr": 0.3},
            "Nesterov, decay 5e-4, at 0.1": SGD,
            "Nesterov, decay 5e-4, at 0.3": {**SGD, "lr": 0.3},
        },
    ),
    "muon": Study(
        "Does Muon earn its place?",
        {
            f"Muon at {lr:g}, momentum {momentum:g}": {"lr": lr, "momentum": momentum}
            for lr, momentum in ((0.005, 0.9), (0.01, 0.9), (0.02, 0.9))
        },
        {**CYCLE, "optimizer": "muon", "nesterov": True, "weight_decay": 0.05},
        beside=("schedule", "Nesterov, decay 5e-4, at 0.3"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", help=f"any of {', '.join(STUDIES)}; default: all", default=[])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--precision", default="bf16", choices=("float32", "bf16"))
    parser.add_argument("--processes", type=int, default=2, help="runs side by side, of one thread each")
    wanted = parser.parse_args()
    for name in wanted.studies or STUDIES:
        if name not in STUDIES:
            parser.error(f"no study {name}; there are {', '.join(STUDIES)}")
        carry_out(name, wanted)


def carry_out(name: str, wanted: argparse.Namespace) -> None:
    """Trains a study's runs, several at a time, and writes its results."""
    os.environ["OMP_NUM_THREADS"] = "1"  # two small networks side by side are faster than one on two threads
    study = STUDIES[name]
    jobs = [(name, variant, seed, wanted) for seed in study.seeds for variant in study.variants]
    with ProcessPoolExecutor(wanted.processes, multiprocessing.get_context("spawn")) as pool:
        runs = list(pool.map(one, *zip(*jobs, strict=True)))
    rows = [row_beside(study)] if study.beside else []
    for variant in study.variants:
        own = [run for (_, name_, _, _), run in zip(jobs, runs, strict=True) if name_ == variant]
        rows.append({"variant": variant, "recipe": own[0].record["recipe"], "runs": [outcome(run) for run in own]})
        print(variant, [f"{100 * run['val_top1']:.2f}" for run in rows[-1]["runs"]], flush=True)
    last = runs[-1].record
    about = {key: last[key] for key in ("data", "notes", "selection", "versions", "git_commit", "hardware")}
    about["data"] = {key: value for key, value in about["data"].items() if key not in ("classes", "test")}
    described = {"question": study.question, "network": study.network, "images": study.images, "epochs": study.epochs}
    command = f"python bench/recipe_studies.py --data-dir FOLDER --precision {wanted.precision} {name}"
    write_json(RESULTS / f"{name}.json", {**described, "rows": rows, **about, "command": command})


def row_beside(study: Study) -> dict[str, Any]:
    """The row of another study that stands beside this one's; its images, epochs and network must be the same."""
    assert study.beside is not None
    name, variant = study.beside
    content = read_json(RESULTS / f"{name}.json")
    for field_name in ("network", "images", "epochs"):
        if content[field_name] != getattr(study, field_name):
            raise SystemExit(f"{name} has {field_name} {content[field_name]}, not {getattr(study, field_name)}")
    (row,) = [row for row in content["rows"] if row["variant"] == variant]
    return dict(row)


def one(name: str, variant: str, seed: int, wanted: argparse.Namespace) -> Run:
    """Trains one variant with one seed, or loads it."""
    plan = make(STUDIES[name], variant, seed, data_dir=wanted.data_dir, precision=wanted.precision)
    run = train_plan(plan, folder=RUNS / name / f"{variant} seed {seed}".replace(" ", "_"), resume=True, device="cpu")
    print(f"{name}: {variant}, seed {seed}: {100 * run.results['val_top1']:.2f} % of validation", flush=True)
    return run


def make(study: Study, variant: str, seed: int, *, data_dir: Path, precision: str) -> Plan:
    data = without_test(load_data("cifar10", folder=data_dir), images=study.images)
    settings = {**study.settings, **study.variants[variant], "epochs": study.epochs, "precision": precision}
    return make_plan(
        architecture(study.network), data=data, chosen=with_settings(recipe(study.base), settings), seed=seed
    )


def without_test(data: DataSet, *, images: int) -> DataSet:
    """The first training images only, and the validation images in the place of the test images."""
    train = Split(data.train.images[:images], data.train.labels[:images], data.train.index[:images])
    return dataclasses.replace(data, train=train, test=data.validation)


def outcome(run: Run) -> dict[str, Any]:
    """What a study keeps of a run; `last_top1` is of the last epoch, which nothing selects."""
    epochs = run.metrics()
    kept = {key: run.results[key] for key in ("val_top1", "val_loss", "best_epoch", "train_seconds")}
    return {
        "seed": run.record["seed"],
        **kept,
        "last_top1": epochs[-1]["val_top1"],
        "train_top1": epochs[-1]["train_top1"],
    }


if __name__ == "__main__":
    main()
