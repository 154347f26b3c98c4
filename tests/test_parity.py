"""Parity with torchvision and timm, deliberate mistakes that it must notice, and the wrappings of checkpoints.

The comparisons run in other processes, one a group, which never import Lightning (`parity.py`); here their results are
judged. This process never sees the oracles.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from comparison import NOTICED, SAME, SIGHTS
from convatlas.architectures import architecture, list_architectures
from mutations import MUTATIONS
from oracles import FOLDER, INSTALLED, load_oracles
from parity_rows import CHECKPOINTS, GROUPS, OUTLINES, PAIRS
from wrapped_checkpoints import BARE, WRAPPINGS

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(not INSTALLED.exists(), reason="no torchvision and timm: make .oracles/.installed"),
]
PROGRAM = Path(__file__).parent / "parity.py"
KINDS = ("pair", "mutation", "outline", "file", "checkpoint", "mistake", "library", "process")
# glibc keeps freed memory: with it the VGGs, of a gigabyte each, take half the time.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 36)}
Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def results(run_folder: Path) -> Callable[[str], Results]:
    """The results of a group by name; the first test process that asks for a group runs it, others would wait."""

    def of(group: str) -> Results:
        path = run_folder / f"parity-{group}.jsonl"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                path.write_text(printed(group))
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return {next(line[kind] for kind in KINDS if kind in line): line for line in lines}

    return of


def printed(group: str) -> str:
    """What the program prints for the group; where it breaks off, the end of its error messages last."""
    done = subprocess.run(
        [sys.executable, PROGRAM, group], env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False
    )
    broken = {"process": group, "error": f"exit code {done.returncode}: {done.stderr[-2000:]}"}
    return done.stdout + (json.dumps(broken) if done.returncode else "")


def result(found: Results, name: str, *, group: str) -> dict[str, Any]:
    """The result of this name. Fails with its error, or with that of the process if there is none."""
    missing = {"error": found[group].get("error", "there is no result, as the comparison itself failed")}
    entry = found.get(name, missing)
    if "error" in entry:
        pytest.fail(f"{name}: {entry['error']}", pytrace=False)
    return entry


def of_groups(names: Mapping[str, str]) -> pytest.MarkDecorator:
    """Runs a test for each name of a group; the names of the tests begin with the group, so that it stays together."""
    ids = [f"{group}/{name}" for name, group in names.items()]
    return pytest.mark.parametrize(("group", "name"), [(group, name) for name, group in names.items()], ids=ids)


OF_PAIRS = {name: group for name, (group, _) in PAIRS.items()}
OF_MUTATIONS = {mutation.name: OF_PAIRS[mutation.pair] for mutation in MUTATIONS}
OF_OUTLINES = {pair.name: group for group, pairs in OUTLINES.items() for pair in pairs}


@of_groups(OF_PAIRS)
def test_parity(results: Callable[[str], Results], group: str, name: str) -> None:
    """The outputs in eval and train mode, auxiliary ones included; statistics and gradients after a training step."""
    found = result(results(group), name, group=group)
    assert found["spread"] > 1e-3, "the logits hardly depend on the image"
    for sight in SIGHTS:
        assert found[sight] < SAME, sight


@of_groups(OF_MUTATIONS)
def test_mistakes_are_noticed(results: Callable[[str], Results], group: str, name: str) -> None:
    mutation = next(mutation for mutation in MUTATIONS if mutation.name == name)
    found = result(results(group), name, group=group)
    for sight in mutation.seen_in:
        assert found[sight] > NOTICED, f"not noticed in {sight}"


def test_the_list_of_mistakes_is_one() -> None:
    assert len(MUTATIONS) >= 15
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)
    assert {mutation.pair for mutation in MUTATIONS} <= PAIRS.keys()


@of_groups({"norms swapped": CHECKPOINTS})
def test_at_initial_values_a_wrong_network_passes(results: Callable[[str], Results], group: str, name: str) -> None:
    """Why the values are random: norms in each other's place make no difference as long as all are the identity."""
    found = result(results(group), name, group=group)
    assert found["initial"] == 0
    assert found["random"] > NOTICED


@of_groups(OF_OUTLINES)
def test_names_and_shapes(results: Callable[[str], Results], group: str, name: str) -> None:
    """Of networks too large to compute with, or whose numbers were compared with the other library's."""
    found = result(results(group), name, group=group)
    assert found["differences"] == []
    assert found["values"] > 1e6


@of_groups({"npz, published": "dpn_bit"})
def test_a_published_file_of_bit(results: Callable[[str], Results], group: str, name: str) -> None:
    """An `.npz` as published gives the logits of timm's reader; with timm's own epsilon they differ, but little."""
    found = result(results(group), name, group=group)
    assert found["identified"] == "bit_resnet50x1"
    assert found["spread"] > 1e-3
    assert max(found["eval"], found["train"]) < SAME
    other = result(results(group), "npz, timm's epsilon", group=group)
    assert 1e-7 < other["eval"] < 1e-3


@of_groups(dict.fromkeys(WRAPPINGS, CHECKPOINTS))
def test_wrapped_checkpoints(results: Callable[[str], Results], group: str, name: str) -> None:
    """The network in a checkpoint of Lightning, DataParallel, torch.compile; of two the average, with a warning."""
    found = result(results(group), name, group=group)
    assert found["eval"] < SAME
    assert found["train"] < SAME
    assert len(found["warnings"]) == (name not in BARE)
    assert all("averaged weights are taken" in text for text in found["warnings"])


@of_groups({"names": CHECKPOINTS})
def test_every_network_of_ours_that_they_have_is_compared(
    results: Callable[[str], Results], group: str, name: str
) -> None:
    """By name, by the address of published weights, and by the layouts that a row says to read."""
    pairs = [pair for _, pair in PAIRS.values()] + [pair for outlines in OUTLINES.values() for pair in outlines]
    compared = {(pair.architecture, pair.library) for pair in pairs}
    named = {
        (each, library)
        for library in ("torchvision", "timm")
        for each in result(results(group), library, group=group)[name]
    }
    rows = [architecture(name) for name in list_architectures()]
    weights = {(row.name, "torchvision") for row in rows for w in row.weights if "download.pytorch.org" in w.url}
    layouts = {
        (row.name, layout) for row in rows for layout in row.layouts if layout in ("torchvision", "timm", "effdet")
    }
    assert len(named) > 20
    assert (named | weights | layouts) - compared == set()


@of_groups({f"process of {group}": group for group in GROUPS})
def test_the_oracles_have_a_process_of_their_own(results: Callable[[str], Results], group: str, name: str) -> None:
    found = result(results(group), group, group=group)
    assert not found["lightning"], name
    assert found["bytes"] < 6e9
    assert not {"torchvision", "timm"} & sys.modules.keys()
    assert not [path for path in sys.path if Path(path or ".").resolve().is_relative_to(FOLDER)]


def test_the_oracles_are_refused_here() -> None:
    with pytest.raises(RuntimeError, match=r"a process of their own; this one has .*pytest"):
        load_oracles()
