"""A run on disk: its record, its files, and the circumstances in which it came about. Imports no torch."""

from __future__ import annotations

from convatlas.run.circumstances import circumstances, command, git_commit, hardware, versions
from convatlas.run.folder import METRICS, Run, Status, differences, find_runs, is_run, read_run, write_metrics

__all__ = [
    "METRICS",
    "Run",
    "Status",
    "circumstances",
    "command",
    "differences",
    "find_runs",
    "git_commit",
    "hardware",
    "is_run",
    "read_run",
    "versions",
    "write_metrics",
]
