"""A run on disk: its record, its files, and the circumstances of its training. The room never imports torch."""

from __future__ import annotations

from convatlas.run.circumstances import circumstances, command, git_commit, hardware, this_session, versions
from convatlas.run.folder import (
    METRICS,
    Run,
    check_nameable,
    find_runs,
    is_run,
    read_run,
    run_there,
    runs_in,
    write_metrics,
)
from convatlas.run.reading import read_checkpoint_record, read_run_record
from convatlas.run.record import (
    ArchitectureRecord,
    CheckpointRecord,
    DataRecord,
    LabelledRecord,
    NetworkRecord,
    PreprocessingRecord,
    RunRecord,
    SessionRecord,
    Status,
    TeacherRecord,
    UnlabelledRecord,
    differences,
    other_pixels,
    recipe_identity,
)
from convatlas.run.start import Start
from convatlas.run.study import DataOfStudy, StudyRecord, is_study, read_study, study_of
from convatlas.run.transfer import TransferRecord, is_transfer, read_transfer

__all__ = [
    "METRICS",
    "ArchitectureRecord",
    "CheckpointRecord",
    "DataOfStudy",
    "DataRecord",
    "LabelledRecord",
    "NetworkRecord",
    "PreprocessingRecord",
    "Run",
    "RunRecord",
    "SessionRecord",
    "Start",
    "Status",
    "StudyRecord",
    "TeacherRecord",
    "TransferRecord",
    "UnlabelledRecord",
    "check_nameable",
    "circumstances",
    "command",
    "differences",
    "find_runs",
    "git_commit",
    "hardware",
    "is_run",
    "is_study",
    "is_transfer",
    "other_pixels",
    "read_checkpoint_record",
    "read_run",
    "read_run_record",
    "read_study",
    "read_transfer",
    "recipe_identity",
    "run_there",
    "runs_in",
    "study_of",
    "this_session",
    "versions",
    "write_metrics",
]
