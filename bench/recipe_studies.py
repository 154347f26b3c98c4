"""Trains the studies behind `fast_cifar`: variants of a recipe, on the same images, over the same seeds.

Only training images are read: the 5,000 held-out images select, and the test images are never seen.

python bench/recipe_studies.py --data-dir FOLDER            all studies; a finished run is not trained again
python bench/recipe_studies.py --data-dir FOLDER schedule   one study; writes results/fast_cifar/schedule.json
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convatlas.architectures import architecture
from convatlas.data import DataSet, ResidentImages, load_data
from convatlas.files import read_json, write_json
from convatlas.recipe import recipe, with_settings
from convatlas.run import Run
from convatlas.training import Plan, make_plan, train_plan

RESULTS = Path("results/fast_cifar")
RUNS = Path("runs/recipe_studies")


@dataclass(frozen=True)
class Study:
    """Variants of a recipe, each trained with every seed. `settings` are shared; a variant adds its own to them.

    A variant's setting `recipe` names the recipe that it starts from, instead of `base`. `beside` names a study and a
    variant, trained on the same images, whose results stand in the first row. `unused` is a number of training images
    after the first `images`. They judge once, at the end of a run, where the validation images are too few.
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
    unused: int = 0


CYCLE = {"schedule": "one_cycle", "milestones": ()}
SGD = {**CYCLE, "nesterov": True, "weight_decay": 5e-4}
FAST: dict[str, dict[str, Any]] = {"fast_cifar": {"recipe": "fast_cifar"}}
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
    "optimizers": Study(
        "Is there more in SGD, and is AdamW better than SGD?",
        {
            "Nesterov, decay 1e-4, at 0.3": {**CYCLE, "nesterov": True, "lr": 0.3},
            "decay 5e-4 without Nesterov, at 0.3": {**CYCLE, "weight_decay": 5e-4, "lr": 0.3},
            "Nesterov, decay 5e-4, at 0.6": {**SGD, "lr": 0.6},
            "AdamW, decay 0.05, at 0.005": {
                **CYCLE,
                "optimizer": "adamw",
                "momentum": 0.0,
                "lr": 0.005,
                "weight_decay": 0.05,
            },
        },
        beside=("schedule", "Nesterov, decay 5e-4, at 0.3"),
    ),
    "muon": Study(
        "Does Muon earn its place?",
        {f"Muon at {lr:g}": {"lr": lr} for lr in (0.005, 0.01, 0.02)},
        {**CYCLE, "optimizer": "muon", "nesterov": True, "weight_decay": 0.05},
        beside=("schedule", "Nesterov, decay 5e-4, at 0.3"),
    ),
    "around": Study(
        "What is there around fast_cifar?",
        {
            "Muon at 0.04": {"lr": 0.04},
            "Muon without decay": {"weight_decay": 0.0},
            "batches of 64": {"batch_size": 64},
            "label smoothing 0.1": {"label_smoothing": 0.1},
            "crops of images padded by 4": {"crop": "pad4"},
        },
        base="fast_cifar",
        beside=("muon", "Muon at 0.02"),
    ),
    "preactivation": Study(
        "Does it help the pre-activation ResNet?", {"uva_sgd": {}, **FAST}, network="preact_resnet_uva"
    ),
    "googlenet": Study(
        "Does it help GoogLeNet?",
        {"uva_adam": {}, **FAST},
        base="uva_adam",
        network="googlenet_uva",
        images=10_000,
        epochs=5,
    ),
    "densenet": Study(
        "Does it help DenseNet?",
        {"uva_adam": {}, **FAST},
        base="uva_adam",
        network="densenet_uva",
        images=5_000,
        epochs=5,
    ),
    "precision": Study(
        "Is bf16 worse than float32?",
        {"float32": {"precision": "float32"}, "bf16": {"precision": "bf16"}},
        base="fast_cifar",
        images=20_000,
        epochs=10,
        seeds=(0, 1, 2, 3, 4),
        unused=25_000,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", help=f"any of {', '.join(STUDIES)}; default: all", default=[])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--precision", default="bf16", choices=("float32", "bf16"))
    parser.add_argument("--processes", type=int, default=2, help="runs side by side, each with one thread")
    wanted = parser.parse_args()
    for name in wanted.studies or STUDIES:
        if name not in STUDIES:
            parser.error(f"no study {name}; there are {', '.join(STUDIES)}")
        carry_out(name, wanted)


def carry_out(name: str, wanted: argparse.Namespace) -> None:
    """Trains a study's runs, several at a time, and writes its results."""
    os.environ["OMP_NUM_THREADS"] = "1"  # two small networks on one thread each are faster than one network on two
    jobs = [(name, variant, seed, wanted) for seed in STUDIES[name].seeds for variant in STUDIES[name].variants]
    with ProcessPoolExecutor(wanted.processes, multiprocessing.get_context("spawn")) as pool:
        runs = list(pool.map(one, *zip(*jobs, strict=True)))
    keep(name, {(variant, seed): run for (_, variant, seed, _), run in zip(jobs, runs, strict=True)}, wanted)


def keep(name: str, runs: Mapping[tuple[str, int], Run], wanted: argparse.Namespace) -> None:
    """Writes the results of a finished study, by variant and seed."""
    study = STUDIES[name]
    rows = [row_beside(study, wanted.precision)] if study.beside else []
    for variant in study.variants:
        outcomes = [outcome(runs[variant, seed], unused=study.unused) for seed in study.seeds]
        rows.append({"variant": variant, "recipe": runs[variant, study.seeds[0]].record.recipe, "runs": outcomes})
        print(f"{name}: {variant}:", ", ".join(f"{100 * run['val_top1']:.2f}" for run in outcomes), flush=True)
    about = {key: distinct(runs.values(), key) for key in ("notes", "selection", "versions", "git_commit", "hardware")}
    (data,) = distinct(runs.values(), "data")
    about["data"] = {key: value for key, value in data.items() if key not in ("classes", "test")}
    kept = ("question", "network", "images", "epochs", "unused")
    described = {key: getattr(study, key) for key in kept} | {"processes": wanted.processes}
    command = f"python bench/recipe_studies.py --data-dir FOLDER --precision {wanted.precision} {name}"
    write_json(RESULTS / f"{name}.json", {**described, "rows": rows, **about, "command": command})


def distinct(runs: Iterable[Run], key: str) -> list[Any]:
    """Returns the different values that runs recorded under a key."""
    values: list[Any] = []
    for run in runs:
        value = run.record.content()[key]
        if value not in values:
            values.append(value)
    return values


def row_beside(study: Study, precision: str) -> dict[str, Any]:
    """Returns the first row, taken from another study with the same images, epochs, network and precision."""
    assert study.beside is not None
    name, variant = study.beside
    content = read_json(RESULTS / f"{name}.json")
    for field_name in ("network", "images", "epochs"):
        if content[field_name] != getattr(study, field_name):
            raise SystemExit(f"{name} has {field_name} {content[field_name]}, not {getattr(study, field_name)}")
    (row,) = [row for row in content["rows"] if row["variant"] == variant]
    if row["recipe"]["precision"] != precision:
        raise SystemExit(f"{name} has precision {row['recipe']['precision']}, not {precision}")
    return dict(row)


def one(name: str, variant: str, seed: int, wanted: argparse.Namespace) -> Run:
    """Trains one variant with one seed, or loads the finished run."""
    plan = make(STUDIES[name], variant, seed, data_dir=wanted.data_dir, precision=wanted.precision)
    folder = RUNS / wanted.precision / name / f"{variant} seed {seed}".replace(" ", "_")
    run = train_plan(plan, folder=folder, resume=True, device="cpu")
    print(f"{name}: {variant}, seed {seed}: {100 * run.results['val_top1']:.2f} % of validation", flush=True)
    return run


def make(study: Study, variant: str, seed: int, *, data_dir: Path, precision: str) -> Plan:
    data = without_test(load_data("cifar10", folder=data_dir), images=study.images, unused=study.unused)
    settings = {"epochs": study.epochs, "precision": precision, **study.settings, **study.variants[variant]}
    base = recipe(settings.pop("recipe", study.base))
    return make_plan(architecture(study.network), data=data, chosen=with_settings(base, settings), seed=seed)


def without_test(data: DataSet, *, images: int, unused: int = 0) -> DataSet:
    """Returns the first training images only; the next `unused` training images take the place of the test images.

    Without unused images, the validation images take that place.
    """
    train = part(data.train, 0, images)
    judging = part(data.train, images, images + unused) if unused else data.validation
    return dataclasses.replace(data, train=train, test=judging)


def part(split: ResidentImages, start: int, end: int) -> ResidentImages:
    return ResidentImages(split.pixels[start:end], split.labels[start:end], split.index[start:end])


def outcome(run: Run, *, unused: int) -> dict[str, Any]:
    """Returns the results of a run that a study keeps; `last_top1` is of the last epoch, which nothing selects."""
    epochs = run.metrics()
    kept = {key: run.results[key] for key in ("val_top1", "val_loss", "best_epoch", "train_seconds")}
    if unused:
        kept["unused_top1"] = run.results["test_top1"]
    return {
        "seed": run.record.seed,
        **kept,
        "last_top1": epochs[-1]["val_top1"],
        "train_top1": epochs[-1]["train_top1"],
    }


if __name__ == "__main__":
    main()
