"""Writes docs/skip_connections.md and its figures from results/skip_connections/, so that no number is typed by hand.

python docs/write_skip_connections.py                        rewrite the page and its figures
python docs/write_skip_connections.py --gradients DATA_DIR   measure the gradients on CIFAR-10 first (minutes)
python docs/write_skip_connections.py --from DIR             take over the results of `degradation` or `landscape` first
python docs/write_skip_connections.py --check                change nothing; exit 1 where the page's text is stale
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from page_script import finish
from places import check_no_places, without_places
from skip_connections_page import NETWORKS, page, signals_of, surfaces_of

from convatlas.errors import UsageError
from convatlas.files import read_json, write_json
from convatlas.insight.degradation_figure import draw_degradation
from convatlas.insight.gradient_figure import draw_gradients
from convatlas.insight.landscape.pictures import draw as draw_landscape
from convatlas.run import this_session
from convatlas.words import finite

ROOT = Path(__file__).resolve().parent.parent
NORMS = ("own", "none")
IMAGES = 128
SOURCES = {  # file: the command that makes it
    **dict.fromkeys(
        (f"gradients_{norm}.json" for norm in NORMS), "python docs/write_skip_connections.py --gradients DATA_DIR"
    ),
    "degradation.json": "convatlas degradation RUN... --out DIR, then python docs/write_skip_connections.py --from DIR",
    "landscape.json": "convatlas landscape RUN... --out DIR, then python docs/write_skip_connections.py --from DIR",
}
TAKEN = ("degradation.json", "landscape.json")


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Runs the command line on the checkout at `root` and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where the page is stale")
    parser.add_argument("--from", dest="sources", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--gradients", type=Path, metavar="DATA_DIR", help="the folder of CIFAR-10")
    wanted = parser.parse_args(arguments)
    if wanted.check and (wanted.sources or wanted.gradients):
        parser.error("--check changes nothing: leave --from and --gradients out")
    results, target = root / "results/skip_connections", root / "docs/skip_connections.md"
    try:
        for source in wanted.sources:
            take_over(source, results)
        if wanted.gradients:
            measure_gradients(wanted.gradients, results)
        contents = read_results(results)
        text = page(contents)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return finish(
        text,
        target,
        script="write_skip_connections.py",
        check=wanted.check,
        draw=lambda: draw(contents, root / "docs/skip_connections"),
    )


def read_results(results: Path) -> dict[str, dict[str, Any]]:
    """Returns the results by the names of their files without endings. Raises `UsageError` where one is missing."""
    for file, command in SOURCES.items():
        if not (results / file).is_file():
            raise UsageError(
                f"results/skip_connections/{file} is missing, and no page is written without it: {command}"
            )
    return {Path(file).stem: read_json(results / file) for file in SOURCES}


def take_over(source: Path, results: Path) -> None:
    """Copies the results of `degradation` and `landscape` in a folder, without the places of this machine.

    Raises `UsageError` for a folder without results, for runs that were left out, and for a place that remains.
    """
    found = [file for file in TAKEN if (source / file).is_file()]
    if not found:
        raise UsageError(f"{source} holds neither {' nor '.join(TAKEN)}; give the folder of convatlas degradation")
    for file in found:
        content = without_places(read_json(source / file))
        content.pop("figure", None)
        if content.get("left_out"):
            raise UsageError(f"{source / file} leaves runs out: {content['left_out'][0]}; go on with --resume first")
        check_no_places(content, source=source / file)
        write_json(results / file, content)


def measure_gradients(data_dir: Path, results: Path) -> None:
    """Measures all networks with their norms and without, and writes a file for each."""
    from convatlas.data import load_data
    from convatlas.insight.gradient_choices import choices
    from convatlas.insight.gradients import Batch, measured

    batch = Batch.draw(load_data("cifar10", folder=data_dir), images=IMAGES, seed=0)
    for norm in NORMS:
        wanted = choices(NETWORKS, norms=[norm], initialisations=["own"], options={})
        found = [signals for choice in wanted for signals in measured(choice, batch)]
        session = asdict(this_session())
        networks = " ".join(shlex.quote(name) for name in NETWORKS)
        session["command"] = f"convatlas gradients {networks} --norm {norm} --data cifar10 --images {IMAGES}"
        content = {
            "data": batch.data.spec.name,
            "notes": list(batch.data.notes),
            "images": IMAGES,
            "seed": batch.seed,
            "networks": [asdict(signals) for signals in found],
            "session": session,
        }
        write_json(results / f"gradients_{norm}.json", finite(content))


def draw(contents: Mapping[str, dict[str, Any]], folder: Path) -> None:
    """Writes the figures of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    for norm in NORMS:
        content = contents[f"gradients_{norm}"]
        found = [signals_of(network) for network in content["networks"]]
        draw_gradients(found, folder / f"gradients_{norm}.png", data=content["data"], images=content["images"])
    draw_degradation(contents["degradation"], folder / "degradation.png")
    draw_landscape(*surfaces_of(contents["landscape"]), folder)


if __name__ == "__main__":
    sys.exit(main())
