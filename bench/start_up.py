"""Measures the time of short commands from start to end: ours, and the imports that they cannot do without.

There are the seconds that pass, and the seconds of the processor (user and system), which other programs hardly change.
Each command runs in a fresh Python. The commands take turns in an order that alternates. The first round does not
count: it brings the files into the system's memory. Compiled modules are kept for all commands alike. `import timm`
needs the folder .oracles, which `make test` fetches, and is left out without it.

python bench/start_up.py        writes results/bench/start_up.json
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from convatlas.files import write_json
from convatlas.run import circumstances

ROOT = Path(__file__).resolve().parent.parent
OURS = "from convatlas.cli import entry; entry()"  # the code of the `convatlas` command
TRAIN = "train resnet_uva --data digits --epochs 1"
SHORT = ("--help", "list", "list resnet", "show resnet50")
MISTYPED = (
    "train resnet_uvx",
    "compare resnet_uva resnet_uvx",
    "train resnet_uva --data digit",
    "train resnet_uva --recipe quik",
)  # which end with exit code 2
ORACLES = "import sys; sys.path.insert(0, {folder!r}); import oracles; oracles.load_oracles()"
WARM_UP = 1


def commands(folder: Path) -> dict[str, list[str]]:
    """Returns the timed commands by the names that a reader knows. The training run gets a new place in `folder`."""
    found = {
        "import convatlas": ["-c", "import convatlas"],
        **{f"convatlas {words}": ["-c", OURS, *words.split()] for words in (*SHORT, *MISTYPED)},
        f"convatlas {TRAIN}": ["-c", OURS, *TRAIN.split(), "--quiet", "--out", str(folder / str(time.time_ns()))],
        "import torch": ["-c", "import torch"],
        "import torch, lightning.pytorch": ["-c", "import torch, lightning.pytorch"],
    }
    if (ROOT / ".oracles/.installed").is_file():
        found["import timm"] = ["-c", ORACLES.format(folder=str(ROOT / "tests"))]
    return found


def seconds(name: str, *, folder: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Returns the seconds of one command in a fresh Python, and those of the processor.

    A command with another exit code than it should have ends the measurement.
    """
    words, before, begun = commands(folder)[name], processor_seconds(), time.perf_counter()
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - begun
    if done.returncode != (2 if name.removeprefix("convatlas ") in MISTYPED else 0):
        sys.exit(f"{name} ended with exit code {done.returncode}: {done.stderr}")
    return taken, processor_seconds() - before


def processor_seconds() -> float:
    """Returns the seconds that the processor worked for all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(names: Sequence[str], *, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Returns the seconds of each command in every round, and those of the processor."""
    # Compiled modules are kept on every system; without them each start would compile some thousand files.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(WARM_UP + rounds):
            for name in list(names) if number % 2 else reversed(names):
                own = seconds(name, folder=Path(folder), environment=environment)
                if number >= WARM_UP:
                    taken[name].append(own)
    return taken


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="COMMAND", help="only these commands, named as in the output")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/bench/start_up.json"))
    wanted = parser.parse_args(words)
    names = list(commands(Path()))
    for name in wanted.only or ():
        if name not in names:
            parser.error(f"--only {name!r}: there are {', '.join(map(repr, names))}")
    taken = measure(wanted.only or names, rounds=wanted.rounds)
    passed = {name: [seconds for seconds, _ in pairs] for name, pairs in taken.items()}
    worked = {name: [seconds for _, seconds in pairs] for name, pairs in taken.items()}
    for name, values in passed.items():
        processor = f"processor {statistics.median(worked[name]):5.2f} s"
        print(f"{statistics.median(values):6.2f} s ({min(values):.2f} to {max(values):.2f}), {processor}: {name}")
    only = f" --only {shlex.join(wanted.only)}" if wanted.only else ""
    command = f"python bench/start_up.py{only} --rounds {wanted.rounds}"
    content = {"seconds": passed, "processor_seconds": worked, "rounds": wanted.rounds, "command": command}
    write_json(wanted.out, {**circumstances(), **content})


if __name__ == "__main__":
    main()
