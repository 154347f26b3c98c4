"""Transfer in Python: methods that learn from few images. A request is checked before PyTorch is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convatlas.data_names import draws_of, few_shot_reference
from convatlas.few_shot.methods import METHODS, SHOTS, methods_of, shots_and_draws
from convatlas.few_shot.planning import TransferRequest, check_transfer, transfer_folder
from convatlas.files import as_path
from convatlas.report.transfer import TransferReport
from convatlas.run import Run


def transfer(
    source: str | Path | Run,
    *,
    data: str,
    weights: str | Path | None = None,
    methods: str | Sequence[str] = METHODS,
    shots: str | Sequence[int | str] = SHOTS,
    draws: int | Sequence[int] = 5,
    test_images: int | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    skip_unreadable: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> TransferReport:
    """Compares methods that learn from few images, over numbers of shots and draws, and returns the report.

    `source` and `weights` are as in `finetune`. `methods` and `shots` are as on the command line. With `test_images`
    fewer test images are used. Raises `UsageError` as `convatlas transfer` does.
    """
    request = TransferRequest(
        str(source.path if isinstance(source, Run) else source),
        methods_of(methods),
        shots_and_draws(shots, draws_of(draws)),
        few_shot_reference(data, test_images=None if test_images is None else str(test_images)),
        weights=None if weights is None else str(weights),
        data_dir=as_path(data_dir),
        settings=dict(settings or {}),
        options=dict(options or {}),
        device=device,
        skip_unreadable=skip_unreadable,
    )
    check_transfer(request)

    from convatlas.few_shot.study import transfer as run_study  # not sooner: it imports PyTorch, which takes seconds

    return run_study(request, out=as_path(out) or transfer_folder(request.data), resume=resume, quiet=quiet)
