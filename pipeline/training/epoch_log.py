"""The log of a fine-tuning: one JSON line per epoch."""

import json
from pathlib import Path

from action_heads.training.finetuning import FinetuningEpoch


class EpochLog:
    """Writes each epoch's report; the log of an earlier training is replaced only once this one is complete.

    Attributes:
        path: The log.
        epochs: The reports so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epochs: list[FinetuningEpoch] = []
        self._partial = path.with_suffix(".jsonl.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial.write_text("")

    def __call__(self, report: FinetuningEpoch) -> None:
        """Append one epoch's report."""
        self.epochs.append(report)
        with self._partial.open("a", encoding="utf-8") as file:
            file.write(json.dumps(report.to_dict()) + "\n")

    def finish(self) -> None:
        """Move the complete log to its final path."""
        self._partial.replace(self.path)
