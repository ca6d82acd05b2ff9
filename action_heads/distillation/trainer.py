"""Teaching a network what another one makes of images: its features, without any label.

Teacher and student see the same random crops of each image, the student at a smaller side where that is asked for, and
the teacher is asked about each crop once: both make an epoch cheap. Their features are compared part by part of the
crop, so that one image says more than one thing; the student sees every other crop mirrored, and the parts with it.

Every epoch ends with a checkpoint, and every crop is drawn from the seed, its number and the image's, so a training
that is killed goes on from its last epoch and ends with the same weights as one that was not.
"""

import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import DataLoader

from action_heads.backbones import Backbone, tensors_of
from action_heads.distillation.grid_pooling import pool_over_grid
from action_heads.distillation.random_crops import CropDataset
from action_heads.model import Trunk, feature_extractor
from action_heads.preprocessing import Preprocessing
from common.errors import TrainingError
from common.files import write_atomically

WARM_UP = 0.03  # of all steps
STATISTICS_IMAGES = 512
MIN_SPREAD = 0.1  # of the mean one, so that a feature that is next to constant does not outweigh the rest


@dataclass(frozen=True)
class DistillationSettings:
    """Everything that decides a distillation but its images, its teacher and the student's kind.

    Attributes:
        sizes: Side in pixels of what the student sees, and for how many epochs; one after another.
        crops: Number of different crops of each image; the epochs take turns with them.
        cells: In how many parts a side the features are compared, each the mean over its part of the image.
        batch_size: Images a step.
        learning_rate: Of AdamW, at the top of its cosine.
        weight_decay: Of AdamW, on weights with two dimensions and more.
        logits_weight: How much the teacher's softened 1,000 classes count beside its features; 0 leaves them out.
        temperature: At which they are softened.
        seed: Of the student's start, the order and the crops.
    """

    sizes: tuple[tuple[int, int], ...] = ((112, 20), (160, 4))
    crops: int = 4
    cells: int = 2
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    logits_weight: float = 0.0
    temperature: float = 2.0
    seed: int = 0

    @property
    def epochs(self) -> int:
        """Of all sizes together."""
        return sum(epochs for _, epochs in self.sizes)

    def size_in(self, epoch: int) -> int:
        """Give the student's side in pixels in an epoch, from 1."""
        sides = [side for side, epochs in self.sizes for _ in range(epochs)]
        return sides[epoch - 1]

    def crop_in(self, epoch: int) -> int:
        """Give the number of the crop that an epoch sees, both from 1."""
        return (epoch - 1) % self.crops + 1


@dataclass(frozen=True)
class Teacher:
    """Who teaches.

    Attributes:
        trunk: Whose pooled features are taught.
        weight: Of its 1,000 classes, shape (1000, D); None where they are not taught.
        bias: Likewise, shape (1000,).
    """

    trunk: Trunk
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None


@dataclass(frozen=True)
class DistillationEpoch:
    """What one epoch did.

    Attributes:
        epoch: From 1.
        size: Side in pixels of what the student saw.
        loss: Mean over the images.
        learning_rate: At the epoch's end.
        held_out_cosine: Mean cosine of taught and learned features (standardised) of held-out images, in [-1, 1].
    """

    epoch: int
    size: int
    loss: float
    learning_rate: float
    held_out_cosine: float


def distil(
    images: Sequence[Path],
    held_out: Sequence[Path],
    teacher: Teacher,
    student: Backbone,
    settings: DistillationSettings,
    work: Path,
    device: str = "cpu",
    bf16: bool = False,
    workers: int = 0,
    on_epoch: Callable[[DistillationEpoch], None] = lambda report: None,
    progress: Callable[..., Iterable[int]] = lambda steps, what: steps,
) -> dict[str, torch.Tensor]:
    """Teach a student, going on from the checkpoint in `work` where there is one.

    Args:
        images: To learn from, in a fixed order.
        held_out: To measure on after every epoch; nothing is chosen by it.
        teacher: Who teaches.
        student: What kind of network learns; it starts at random.
        settings: How.
        work: Folder for `checkpoint.pt`, the log `epochs.jsonl` and the teacher's answers.
        device: `cpu` or `cuda:N`.
        bf16: Compute in bfloat16.
        workers: Processes that read images beside this one.
        on_epoch: Told after every epoch.
        progress: Wraps the steps, with their name as `what`, for a progress bar.

    Returns:
        The student's tensors, without the last layer, which gave the teacher's features.

    Raises:
        TrainingError: If there are no images, one cannot be read, or the loss stops being a number.
    """
    if not images:
        raise TrainingError("no image to learn from")
    run = _Run(images, held_out, teacher, student, settings, work, device, bf16, workers)
    run.restore(work / "checkpoint.pt")
    for epoch in range(len(run.reports) + 1, settings.epochs + 1):
        loss = run.train_epoch(epoch, partial(progress, what=f"epoch {epoch}/{settings.epochs}"))
        run.reports.append(run.report(epoch, loss))
        run.keep(work / "checkpoint.pt")
        lines = [json.dumps(asdict(report)) + "\n" for report in run.reports]
        write_atomically(work / "epochs.jsonl", "".join(lines))
        on_epoch(run.reports[-1])
    last = f"{student.classifier}."
    return {name: tensor for name, tensor in tensors_of(run.student).items() if not name.startswith(last)}


class _Run:
    """The state of one distillation."""

    def __init__(
        self,
        images: Sequence[Path],
        held_out: Sequence[Path],
        teacher: Teacher,
        student: Backbone,
        settings: DistillationSettings,
        work: Path,
        device: str,
        bf16: bool,
        workers: int,
    ) -> None:
        self.images, self.held_out, self.settings = images, held_out, settings
        self.device, self.workers = device, workers
        self.autocast = torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16)
        self.preprocessing = student.preprocessing
        self.taught = teacher
        self.teacher = pool_over_grid(feature_extractor(teacher.trunk), teacher.trunk.backbone, settings.cells)
        self.teacher.to(device, memory_format=torch.channels_last)
        features = int(
            teacher.trunk.backbone.build(1).get_parameter(teacher.trunk.backbone.classifier_keys[0]).shape[1]
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.student = pool_over_grid(student.build(features), student, settings.cells)
        self.student.to(device, memory_format=torch.channels_last)
        parameters = list(self.student.parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            ],
            settings.learning_rate,
        )
        # A last batch of one image would leave batch normalisation with nothing to normalise by.
        self.steps = max(1, len(images) // settings.batch_size)
        self.answers = _open_answers(work / "taught.npy", (settings.crops, len(images), settings.cells**2, features))
        self.reports: list[DistillationEpoch] = []
        self.statistics: tuple[torch.Tensor, torch.Tensor] | None = None

    def train_epoch(self, epoch: int, progress: Callable[[Iterable[int]], Iterable[int]]) -> float:
        """Pass once over the images, in an order that the seed and the epoch decide; give the mean loss."""
        size, batch = self.settings.size_in(epoch), self.settings.batch_size
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(self.images)).tolist()
        batches = [order[step * batch : (step + 1) * batch] for step in range(self.steps)]
        crop = self.settings.crop_in(epoch)
        crops = iter(self._load(self.images, crop, batches))
        self.student.train()
        total = 0.0
        for step in progress(range(self.steps)):
            self._set_learning_rate((epoch - 1) * self.steps + step)
            seen = next(crops).to(self.device)
            taught = self._remember(seen, self.answers[crop - 1], batches[step])
            loss = self._loss(*self._mirror(taught, seen, epoch, step), size)
            if not math.isfinite(loss.item()):
                raise TrainingError(f"the loss became {loss.item()} in epoch {epoch}; try a lower learning rate")
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / self.steps

    def report(self, epoch: int, loss: float) -> DistillationEpoch:
        """Measure the student on the held-out images."""
        size = self.settings.size_in(epoch)
        self.student.eval()
        cosines = [math.nan]
        if self.held_out:
            with torch.inference_mode():
                cosines = [
                    cosine
                    for seen in self._load(self.held_out, 0)
                    for cosine in functional.cosine_similarity(
                        self._standardise(self._ask_teacher(seen.to(self.device))).mean(dim=1),
                        self._standardise(self._ask_student(seen.to(self.device), size)).mean(dim=1),
                    ).tolist()
                ]
        rate = self.optimizer.param_groups[0]["lr"]
        return DistillationEpoch(epoch, size, round(loss, 5), round(rate, 8), round(float(np.mean(cosines)), 5))

    def keep(self, path: Path) -> None:
        """Write the checkpoint, atomically."""
        buffer = io.BytesIO()
        state = {
            "student": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "statistics": list(self._statistics()),
            "reports": [asdict(report) for report in self.reports],
        }
        torch.save(state, buffer)
        write_atomically(path, buffer.getvalue())

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint, where there is one."""
        if not path.is_file():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        mean, spread = state["statistics"]
        self.statistics = (mean, spread)
        self.reports = [DistillationEpoch(**report) for report in state["reports"]]

    def _remember(self, seen: torch.Tensor, answers: NDArray[np.float16], rows: list[int]) -> torch.Tensor:
        """Give what the teacher makes of crops of the images `rows`, (N, cells², D): kept, or asked now and kept."""
        if not np.isfinite(answers[rows]).all():
            with torch.inference_mode():
                answers[rows] = self._ask_teacher(seen).half().cpu().numpy()
        return torch.from_numpy(answers[rows]).to(self.device).float()

    def _mirror(
        self, taught: torch.Tensor, seen: torch.Tensor, epoch: int, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mirror every other crop, left to right, and what is taught about its cells."""
        chosen = np.random.default_rng([self.settings.seed, epoch, step]).random(len(seen)) < 0.5
        mirrored = torch.from_numpy(chosen).to(self.device)
        cells = self.settings.cells
        swapped = taught.unflatten(1, (cells, cells)).flip(2).flatten(1, 2)
        return (
            torch.where(mirrored.view(-1, 1, 1), swapped, taught),
            torch.where(mirrored.view(-1, 1, 1, 1), seen.flip(3), seen),
        )

    def _loss(self, taught: torch.Tensor, seen: torch.Tensor, size: int) -> torch.Tensor:
        """Mean squared distance of the standardised features, and the divergence of the softened classes beside it."""
        learned = self._ask_student(seen, size)
        loss = functional.mse_loss(self._standardise(learned), self._standardise(taught))
        if self.taught.weight is None or self.taught.bias is None or not self.settings.logits_weight:
            return loss
        weight, bias = self.taught.weight.to(self.device), self.taught.bias.to(self.device)
        whole = (learned.mean(dim=1), taught.mean(dim=1))
        soft = [functional.linear(x, weight, bias) / self.settings.temperature for x in whole]
        divergence = functional.kl_div(
            functional.log_softmax(soft[0], 1),
            functional.log_softmax(soft[1], 1),
            log_target=True,
            reduction="batchmean",
        )
        return loss + self.settings.logits_weight * self.settings.temperature**2 * divergence

    def _ask_teacher(self, seen: torch.Tensor) -> torch.Tensor:
        with self.autocast:
            features: torch.Tensor = self.teacher(_normalise(seen, self.taught.trunk.preprocessing))
        return features.float()

    def _ask_student(self, seen: torch.Tensor, size: int) -> torch.Tensor:
        inputs = _normalise(seen, self.preprocessing)
        if size != seen.shape[-1]:
            inputs = functional.interpolate(inputs, size=(size, size), mode="bilinear", antialias=True)
        with self.autocast:
            features: torch.Tensor = self.student(inputs.contiguous(memory_format=torch.channels_last))
        return features.float()

    def _standardise(self, features: torch.Tensor) -> torch.Tensor:
        mean, spread = self._statistics()
        return (features - mean) / spread

    def _statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and spread of the teacher's features in a cell, from some of the images, shapes (D,)."""
        if self.statistics is None:
            chosen = np.random.default_rng(self.settings.seed).permutation(len(self.images))[:STATISTICS_IMAGES]
            few = [self.images[place] for place in sorted(chosen.tolist())]
            with torch.inference_mode():
                asked = [self._ask_teacher(seen.to(self.device)) for seen in self._load(few, 0)]
                found = torch.cat(asked).flatten(0, 1)
                mean, spread = found.mean(dim=0), found.std(dim=0, unbiased=False)
                spread = spread.clamp(min=MIN_SPREAD * float(spread.mean()))
            self.statistics = (mean.clone(), spread.clone())
        return self.statistics

    def _load(
        self, images: Sequence[Path], number: int, batches: list[list[int]] | None = None
    ) -> "DataLoader[torch.Tensor]":
        crops = CropDataset(images, self.taught.trunk.preprocessing.size, self.settings.seed, number)
        if batches is None:
            return DataLoader(crops, self.settings.batch_size, num_workers=self.workers)
        return DataLoader(crops, batch_sampler=batches, num_workers=self.workers)

    def _set_learning_rate(self, step: int) -> None:
        steps = self.steps * self.settings.epochs
        warm = min(1.0, (step + 1) / max(1.0, WARM_UP * steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / steps))


def _open_answers(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """Open the teacher's answers on disk, shape (crops, N, cells², D): NaN where the teacher was not asked yet."""
    if not path.is_file() or np.load(path, mmap_mode="r").shape != shape:
        path.parent.mkdir(parents=True, exist_ok=True)
        growing = path.with_name("taught.part.npy")  # one that is half full of NaN must not be taken for answers
        answers: NDArray[np.float16] = np.lib.format.open_memmap(growing, mode="w+", dtype=np.float16, shape=shape)
        answers[:] = np.nan
        growing.replace(path)
    return np.asanyarray(np.load(path, mmap_mode="r+"))


def _normalise(seen: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Scale and normalise uint8 RGB (B, 3, S, S)."""
    mean, std = (torch.tensor(x, device=seen.device).view(3, 1, 1) for x in (preprocessing.mean, preprocessing.std))
    return (seen.float() / 255 - mean) / std
