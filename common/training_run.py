"""Where and how a training runs, apart from what determines its result."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.progress import Progress, no_progress


@dataclass(frozen=True)
class TrainingRun:
    """Where and how a training runs.

    Attributes:
        work: Folder for cached features, checkpoints and the log; a training that was stopped continues from it.
        device: `cpu` or `cuda:N`.
        bf16: Whether to compute in bfloat16.
        workers: Number of processes that make training views; 0 makes them in this one.
        on_epoch: Called with the report of every epoch.
        progress: Shows the progress of the steps.
    """

    work: Path
    device: str = "cpu"
    bf16: bool = False
    workers: int = 0
    on_epoch: Callable[[Any], None] = lambda report: None
    progress: Progress = no_progress
