"""What a training that was stopped continues from, and its log."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common.errors import TrainingError
from common.files import check_keys, write_atomically
from common.torch_files import load_torch_file

CHECKPOINT_FILE, LOG_FILE = "checkpoint.pt", "epochs.jsonl"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after an epoch.

    Attributes:
        network: Tensors by name.
        optimizer: State of the optimizer.
        rate: State of the learning rate.
        reports: Of the epochs so far.
    """

    network: Mapping[str, torch.Tensor]
    optimizer: dict[str, Any]
    rate: dict[str, Any]
    reports: Sequence[dict[str, Any]]


def write_checkpoint(path: Path, checkpoint: Checkpoint, plan: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically, with the plan that it belongs to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    numbers = {"rate": checkpoint.rate, "reports": list(checkpoint.reports), "plan": plan}
    content = {
        "network": dict(checkpoint.network),
        "optimizer": checkpoint.optimizer,
        "numbers": json.dumps(numbers),  # as text: the loader for files of unknown origin knows tensors and little else
    }
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def read_checkpoint(path: Path, plan: Mapping[str, Any], device: str) -> Checkpoint | None:
    """Read a checkpoint; None if there is none.

    Raises:
        TrainingError: If it cannot be read, or belongs to another plan.
    """
    if not path.is_file():
        return None

    def error(reason: str) -> TrainingError:
        return TrainingError(f"{path}: not a checkpoint to continue from ({reason}); delete it to start over")

    content = load_torch_file(path, error, device)
    check_keys(content, str(path), TrainingError, ["network", "optimizer", "numbers"])
    numbers = json.loads(content["numbers"])
    wanted = json.loads(json.dumps(plan))
    for name, value in wanted.items():
        if numbers["plan"].get(name) != value:
            raise TrainingError(
                f"{path}: the training there has another {name}: give the same one, or another work folder"
            )
    return Checkpoint(content["network"], content["optimizer"], numbers["rate"], numbers["reports"])


def write_log(path: Path, reports: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON line per epoch, atomically."""
    write_atomically(path, "".join(json.dumps(report) + "\n" for report in reports))


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read what `write_log` wrote."""
    return [json.loads(line) for line in path.read_text().splitlines()]
