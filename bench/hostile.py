"""Tries files that mean harm: each is answered or refused in one line, in bounded memory and time.

The files come from `tests/hostile_files.py`, a table of kinds: torch's formats, numpy's, safetensors, records inside
checkpoints, CIFAR's pickles, idx and parquet files, pictures, sets of images, recipes, files of runs. Each kind is read
in its own process, whose memory may grow by at most `MEMORY` beyond its imports; a reader that asks for more fails at
once. The same seed makes the same files. With `--keep`, a file that causes a fault is kept in that folder.

python bench/hostile.py --inputs 1000 --seed 0            of every kind; prints a line for each kind
python bench/hostile.py --only npz --files FILE ...       these files, read as that kind is; prints a line for each
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

MEMORY = 600 * 2**20  # bytes beyond the imports: 64 MiB for a small file, the rest for networks without values
SECONDS = 20  # of processor time for one file; most take milliseconds
LONGEST = 3000  # characters of a message
RAW = ("Traceback", "Errno", "recursion", "Error:", "object at 0x", "mat1", "weights_only")  # words of raw errors


def fault_of(message: str, *, name: str) -> str | None:
    """Returns the fault in the message of a refusal, or None for one printable line that names the file."""
    if name not in message:
        return "does not name the file"
    if not message.isprintable() or len(message) > LONGEST:
        return "is not one bearable line of printable characters"
    return next((f"has {word!r}, a parser's own word" for word in RAW if word in message), None)


def outcome(kind: Any, path: Path) -> tuple[str, str]:
    """Returns `read`, `refused` or `fault` for one file, and the message."""
    from convatlas.errors import UsageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind.read(path)
    except UsageError as error:
        fault = fault_of(str(error), name=path.name)
        return ("refused", str(error)) if fault is None else ("fault", f"the message {fault}: {str(error)[:300]}")
    except BaseException as error:
        return "fault", f"{type(error).__name__}: {str(error)[:300]}"
    return "read", ""


@dataclass(frozen=True)
class Tried:
    """One file that was tried: `said` is `read`, `refused` or `fault`; `words` is the message."""

    kind: str
    name: str
    said: str
    words: str
    seconds: float
    grown: int


def try_file(name: str, kind: Any, path: Path, *, base: int) -> Tried:
    """Reads one file in this process; `base` is the most memory that the process had before."""
    begun = time.process_time()
    signal.alarm(10 * SECONDS)  # a reader that waits for something takes no processor time
    said, words = outcome(kind, path)
    signal.alarm(0)
    seconds, grown = time.process_time() - begun, peak() - base
    if said != "fault" and (seconds > SECONDS or grown > MEMORY):
        said, words = "fault", f"it took {seconds:.1f} s and {grown / 2**20:.0f} MiB"
    return Tried(name, path.name, said, words, round(seconds, 2), grown)


def try_kind(name: str, *, inputs: int, seed: int, keep: Path | None, base: int) -> list[Tried]:
    """Makes and reads files of one kind in this process; `base` is the most memory that the process had before."""
    import hypothesis

    from hostile_files import KINDS, File

    kind = KINDS[name]
    tried: list[Tried] = []

    def check(file: File) -> None:
        path = folder / f"{name}-{seed}-{len(tried)}{file.suffix}"
        path.write_bytes(file.content)
        tried.append(try_file(name, kind, path, base=base))
        if tried[-1].said == "fault" and keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, keep)
        path.unlink()

    settings = hypothesis.settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        hypothesis.seed(seed)(settings(hypothesis.given(kind.files)(check)))()
    return tried


def try_files(name: str, paths: Sequence[Path], *, base: int) -> list[Tried]:
    """Reads these files as that kind is read, in this process."""
    from hostile_files import KINDS

    return [try_file(name, KINDS[name], path, base=base) for path in paths]


def bound() -> int:
    """Limits the process to `MEMORY` beyond its present memory; returns the most memory that it has had so far."""
    import pyarrow.parquet  # noqa: F401
    import torch

    import convatlas.data
    import convatlas.prediction
    import convatlas.weights  # noqa: F401

    torch.set_num_threads(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return peak()


def peak() -> int:
    """Returns the most bytes of memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, metavar="N", help="files of each kind")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--only", nargs="+", metavar="KIND", help="kinds to try, instead of all")
    parser.add_argument("--files", nargs="+", type=Path, metavar="FILE", help="files to read, instead of made ones")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="the folder for files that cause faults")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # in this process, as JSON
    wanted = parser.parse_args(words)
    from hostile_files import KINDS

    kinds = wanted.only or list(KINDS)
    unknown = [name for name in kinds if name not in KINDS]
    if unknown:
        parser.error(f"--only {unknown[0]!r}: there are {', '.join(KINDS)}")
    if wanted.here:
        print(json.dumps([asdict(each) for each in here(kinds, wanted)]))
        return
    faults = [in_own_process(name, wanted) for name in kinds[: 1 if wanted.files else None]]
    sys.exit(1 if any(faults) else 0)


def here(kinds: Sequence[str], wanted: argparse.Namespace) -> list[Tried]:
    """Tries the files of these kinds in this process, which is bound from here on."""
    base = bound()
    if wanted.files:
        return try_files(kinds[0], wanted.files, base=base)
    return [
        each
        for name in kinds
        for each in try_kind(name, inputs=wanted.inputs, seed=wanted.seed, keep=wanted.keep, base=base)
    ]


def in_own_process(name: str, wanted: argparse.Namespace) -> int:
    """Tries one kind in a process of its own, prints its lines and returns the number of faults."""
    words = ["--here", "--only", name, "--inputs", str(wanted.inputs), "--seed", str(wanted.seed)]
    words += ["--keep", str(wanted.keep)] if wanted.keep else []
    words += ["--files", *map(str, wanted.files)] if wanted.files else []
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), *words], capture_output=True, text=True, check=False
    )
    if done.returncode or not done.stdout:
        print(f"{name:20} the process ended with {done.returncode}: {done.stderr.strip()[-300:]}", flush=True)
        return 1
    tried = [Tried(**each) for each in json.loads(done.stdout.splitlines()[-1])]
    if wanted.files:
        for each in tried:
            print(f"{each.name:30} {each.said:7} {each.seconds:5.2f} s  {each.words}")
    else:
        print(summary(name, tried), flush=True)
    return sum(each.said == "fault" for each in tried)


def summary(name: str, tried: Sequence[Tried]) -> str:
    """Returns the line of one kind, and a line for each of its commonest faults."""
    counts = Counter(each.said for each in tried)
    slowest, grown = max(each.seconds for each in tried), max(each.grown for each in tried)
    lines = [
        f"{name:20} {len(tried):6} files, {counts['read']:5} read, {counts['refused']:6} refused, "
        f"{counts['fault']:4} faults; slowest {slowest:.2f} s, {grown / 2**20:.0f} MiB more"
    ]
    faults = Counter(each.words for each in tried if each.said == "fault")
    return "\n".join([*lines, *(f"    {count} x {words}" for words, count in faults.most_common(5))])


if __name__ == "__main__":
    main()
