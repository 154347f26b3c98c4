"""The circumstances of a run: versions, hardware, commit, command."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from convatlas.run.record import SessionRecord


def circumstances() -> dict[str, Any]:
    """Returns versions, git commit, hardware and command of this process, for files of results."""
    return {"versions": versions(), "git_commit": git_commit(), "hardware": hardware(), "command": command()}


def this_session() -> SessionRecord:
    """Returns the circumstances of a session that begins now."""
    return SessionRecord(**circumstances(), started=datetime.now(UTC).isoformat(timespec="seconds"))


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that decide a result."""
    packages = ("convatlas", "torch", "lightning", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


@cache
def git_commit() -> str | None:
    """Returns the commit of ConvAtlas's own code, with `-dirty` if files are changed; None outside of a checkout."""
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:  # installed into somebody else's checkout
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=40")


def _git(*arguments: str) -> str | None:
    """Returns the output of git in the folder of this file; None if git fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def hardware() -> dict[str, Any]:
    """Returns the processor, the number of cores that this process may use, the threads, and the GPU or None."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def command() -> str:
    """Returns the command line of this process, ready to be typed again; bytes that are not UTF-8 are escaped."""
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    return shlex.join([program, *sys.argv[1:]]).encode("utf-8", "backslashreplace").decode("utf-8")
