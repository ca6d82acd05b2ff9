"""Teaching a dense stem to give the outputs of the layers that it replaces, before the rest of a detector is trained.

The layers after the stem keep the weights that they have learned from ImageNet, so what they are given must be what
they were given before: the loss is the squared error of each channel relative to its variance.
"""

import io
import json
import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actor_detector.dense_stem import start_from_statistics
from actor_detector.training.augmentation import TrainingView
from actor_detector.training.frozen_features import BATCH_SIZE, ViewSeries, autocast, to_inputs
from actor_detector.training.initial_weights import load_first_children
from actor_detector.training.settings import StemPhase
from common.errors import TrainingError
from common.files import check_keys, write_atomically
from common.prefetch import prefetch
from common.system import reuse_large_allocations
from common.torch_files import load_torch_file
from common.training_run import TrainingRun
from inference.image_tensors import bgr_to_rgb_tensor
from inference.interfaces import Engine

CHECKPOINT_FILE = "stem.pt"
REPORT_INTERVAL = 100  # steps between two reports, each with a checkpoint
MEASURED_VIEWS = 128  # give the variance of the teacher's channels, and after it the error on views not trained on
MAX_GRADIENT_NORM = 1.0
WARM_UP = 50  # steps
MIN_VARIANCE = 1e-6  # of a channel of the teacher's output


@dataclass(frozen=True)
class StemReport:
    """Report of a part of the training.

    Attributes:
        phase: `stem`.
        step: From 1.
        steps: Of the whole training.
        loss: Mean over the steps since the last report.
        unexplained: Share of the variance of the teacher's output that the stem does not explain, on views that it is
            not trained on, in [0, 1] once it has learned anything.
    """

    phase: str
    step: int
    steps: int
    loss: float
    unexplained: float


class FirstChildren(nn.Module):
    """The layers that teach a stem, as an engine runs them: the start's own first children.

    Args:
        start: The initial weights, see `actor_detector.training.initial_weights`.
        count: Number of the children.
    """

    def __init__(self, start: str, count: int) -> None:
        super().__init__()
        self.children_in_order = load_first_children(start, count)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last one's output (B, C, h, w) for images (B, H, W, 3), uint8, BGR."""
        output: torch.Tensor = self.children_in_order(bgr_to_rgb_tensor(images).float() / 255)
        return output


@reuse_large_allocations()
def teach_stem(
    stem: nn.Sequential,
    teacher: Engine,
    make_view: Callable[[int], TrainingView],
    phase: StemPhase,
    run: TrainingRun,
) -> None:
    """Teach a stem the outputs of other layers, resuming from the checkpoint in the work folder if there is one.

    Args:
        stem: See `actor_detector.dense_stem.make_stem`; trained in place, and left in evaluation mode.
        teacher: Runs the layers that it replaces, on batches of `BATCH_SIZE` views; its output has the shape of the
            stem's. An engine, since PyTorch takes eight times as long for them on a CPU.
        make_view: Creates a training view from its number; the same number always gives the same view.
        phase: Settings.
        run: Where and how to train. The work folder receives `stem.pt`; `epochs.jsonl` there is appended to.

    Raises:
        TrainingError: If the loss becomes infinite or NaN, or the checkpoint cannot be read.
    """
    trainer = _StemTrainer(stem, teacher, make_view, phase, run)
    trainer.load(run.work / CHECKPOINT_FILE)
    trainer.train()


class _StemTrainer:
    """Trains one stem: holds its optimizer, and the views on which it is measured."""

    def __init__(
        self,
        stem: nn.Sequential,
        teacher: Engine,
        make_view: Callable[[int], TrainingView],
        phase: StemPhase,
        run: TrainingRun,
    ) -> None:
        self.stem = stem.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.teacher = teacher
        self.phase, self.run = phase, run
        self.steps = math.ceil(phase.views / BATCH_SIZE)
        self.views = ViewSeries("stem", make_view, phase.views)
        self.optimizer = torch.optim.AdamW(stem.parameters(), phase.learning_rate, weight_decay=phase.weight_decay)
        self.done = 0
        numbers = range(phase.views, phase.views + MEASURED_VIEWS)
        self.measured = np.stack([make_view(number).image for number in numbers])
        outputs = torch.cat([self._teach(images) for images in self._measured_batches()])
        self.variance = outputs.var(dim=(0, 2, 3), keepdim=True).clamp_min(MIN_VARIANCE)
        start_from_statistics(stem, outputs.mean(dim=(0, 2, 3)), self.variance.flatten())

    def load(self, path: Path) -> None:
        """Continue from a checkpoint if there is one."""
        if not path.is_file():
            return
        state = load_torch_file(
            path,
            lambda reason: TrainingError(f"{path}: not a checkpoint to continue from ({reason}); delete it"),
        )
        content = check_keys(state, str(path), TrainingError, ["step", "stem", "optimizer"])
        self.stem.load_state_dict(content["stem"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.done = content["step"]

    def train(self) -> None:
        """Train on all views that remain, once."""
        self.stem.train()
        total, first = 0.0, self.done
        steps = self.run.progress(range(self.done, self.steps), "stem", "step")
        with closing(prefetch(self.views.batches(self.done * BATCH_SIZE), 2)) as batches:
            for step, batch in zip(steps, batches, strict=True):
                total += self._step(step, np.stack([view.image for view in batch]))
                if (step + 1) % REPORT_INTERVAL == 0 or step + 1 == self.steps:
                    self._report(step + 1, total / (step + 1 - first))
                    total, first = 0.0, step + 1
        self.stem.eval()

    def _step(self, step: int, images: NDArray[np.uint8]) -> float:
        warm_up, cosine = min(1.0, (step + 1) / WARM_UP), 0.5 * (1 + math.cos(math.pi * step / self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self.phase.learning_rate * warm_up * max(cosine, 0.01)
        loss = self._error(images)
        if not math.isfinite(loss.item()):
            raise TrainingError(f"the loss of the stem became {loss.item()}; try a lower learning rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.stem.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        return loss.item()

    def _error(self, images: NDArray[np.uint8]) -> torch.Tensor:
        expected = self._teach(images)
        with autocast(self.run):
            found = self.stem(to_inputs(images, self.run.device))
        return ((found.float() - expected).square() / self.variance).mean()

    def _teach(self, images: NDArray[np.uint8]) -> torch.Tensor:
        return torch.from_numpy(self.teacher.submit(images).result()).to(self.run.device)

    def _measured_batches(self) -> list[NDArray[np.uint8]]:
        return [self.measured[start : start + BATCH_SIZE] for start in range(0, MEASURED_VIEWS, BATCH_SIZE)]

    def _report(self, step: int, loss: float) -> None:
        """Measure the stem, write a checkpoint and a line of the log."""
        self.stem.eval()
        with torch.no_grad():
            unexplained = float(np.mean([self._error(images).item() for images in self._measured_batches()]))
        self.stem.train()
        buffer = io.BytesIO()
        state = {"step": step, "stem": self.stem.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, buffer)
        write_atomically(self.run.work / CHECKPOINT_FILE, buffer.getvalue())
        report = StemReport("stem", step, self.steps, round(loss, 5), round(unexplained, 5))
        with (self.run.work / "epochs.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(report)) + "\n")
        self.run.on_epoch(report)
