"""How the tests share a machine and each other's results: threads, the order of files, what is counted once a run."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from counted import Counted

# One thread for each test process: several run side by side, and more threads than cores only wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"

# The files that take longest, the longest first, so that all test processes end at about the same time.
LONGEST = (
    "test_parity.py",
    "test_readme.py",
    "test_diagram.py",
    "test_atlas.py",
    "test_kill.py",
    "test_transfer.py",
    "test_training_fields.py",
    "test_throughput.py",
    "test_training.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; the order within a file stays."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Lets the garbage collector rest meanwhile, and later leave out what was imported: all of that stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(700, 10, 50)  # it would search all again as soon as a quarter of little is new
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Sends each file to one process, in the order above; of a file in groups, each group."""
    from xdist.scheduler import LoadFileScheduling

    class Grouped(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path, _, test = nodeid.partition("::")
            _, _, parameters = test.partition("[")
            group, slash, _ = parameters.partition("/")
            return f"{path}/{group}" if slash else path

    config.option.loadscopereorder = False
    return Grouped(config, log)


@pytest.fixture(scope="session", autouse=True)
def no_power_cuts() -> Iterator[None]:
    """Lets no file wait for the disk: that is against power cuts, and the tests write thousands of files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        yield


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def counted(run_folder: Path) -> Callable[[str], Counted]:
    """Counts a registered network by its name; each network is counted once in a test run."""
    from counted import Counts

    return Counts(run_folder / "counted")


@pytest.fixture
def quick_runs() -> Iterator[None]:
    """Lets the runs of a test draw nothing."""
    import fixtures

    with fixtures.quick_runs():
        yield
