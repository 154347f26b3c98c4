"""Measures how long a folder of many small images takes to open, and the memory of the process, in each layout.

The folder has 100 classes. In `train, val, test` nothing is drawn and no file is read; in `classes` the split is drawn,
for which files of equal length are read: equal images must not lie in two splits. Each way opens the folder in a new
process. The seconds are those of `load_data`, without the import of PyTorch, on the clock and of the processor: on a
busy machine the clock runs on. The megabytes (a million bytes) are the most that the whole process has held, and
`import` is what it held before.

python bench/opening.py        writes results/bench/opening.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from convatlas.files import write_json
from convatlas.run import circumstances

CLASSES = 100
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def make_folder(root: Path, *, images: int, parts: bool) -> None:
    """Writes small files of about 600 to 1,100 bytes, all different: a header of a PNG and bytes; none is decoded."""
    shares = SHARES if parts else {"": 1.0}
    for part, share in shares.items():
        for label in range(CLASSES):
            folder = root / part / f"class {label}"
            folder.mkdir(parents=True)
            for number in range(round(images * share / CLASSES)):
                content = f"{part} {label} {number} ".encode() + bytes(600 + (number * 7919 + label) % 500)
                (folder / f"IMG_{number:05}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def opened(root: str) -> dict[str, float]:
    """Returns seconds and memory of opening a folder in this process."""
    from convatlas.data import load_data

    before, begun, worked = peak_memory(), time.perf_counter(), time.process_time()
    data = load_data(f"folder:{root}")
    seconds, processor = time.perf_counter() - begun, time.process_time() - worked
    count = sum(len(images) for images in data.parts.values())
    return {"seconds": seconds, "processor": processor, "megabytes": peak_memory(), "import": before, "images": count}


def peak_memory() -> float:
    """Returns the most memory that the process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/bench/opening.json"))
    parser.add_argument("--open", help=argparse.SUPPRESS)
    wanted = parser.parse_args(words)
    if wanted.open:
        print(json.dumps(opened(wanted.open)))
        return
    measured: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, parts in (("classes", False), ("train, val, test", True)):
            make_folder(Path(folder) / name, images=wanted.images, parts=parts)
            command = [sys.executable, os.path.abspath(__file__), "--open", os.path.join(folder, name)]
            rounds = [json.loads(subprocess.check_output(command)) for _ in range(wanted.rounds)]
            measured[name] = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
            seconds, processor, megabytes = (measured[name][key] for key in ("seconds", "processor", "megabytes"))
            print(f"{name}: {seconds:.2f} s ({processor:.2f} s of the processor), {megabytes:,.0f} MB", flush=True)
        command = f"python bench/opening.py --images {wanted.images} --rounds {wanted.rounds}"
        load = os.getloadavg()[0]  # of the last minute: how many processes wanted a core
        write_json(wanted.out, {**circumstances(), "opening": measured, "load": load, "command": command})


if __name__ == "__main__":
    main()
