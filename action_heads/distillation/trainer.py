"""Knowledge distillation of a trunk: a student learns the features of a teacher from unlabelled images.

Teacher and student process the same random crops of each image, the student at a lower resolution if so configured, and
the teacher's features of each crop are computed only once; both make epochs cheap. The features are compared cell by
cell of a grid over the crop, so that one image provides several targets. Each of the student's crops is mirrored with
probability 0.5, together with the cells of its targets.

Every epoch ends with a checkpoint, and every crop is determined by the seed, its number and the index of the image, so
a training that was interrupted continues from its last epoch and ends with the same weights as an uninterrupted one.
"""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from action_heads.backbone import Backbone
from action_heads.distillation.grid_pooling import pool_over_grid
from action_heads.distillation.random_crops import WHOLE_IMAGE, CropDataset
from action_heads.distillation.settings import DistillationSettings
from action_heads.distillation.teacher import Teacher, TeacherNetwork, open_feature_cache
from common.errors import TrainingError
from common.files import check_keys, write_atomically
from common.system import reuse_large_allocations
from common.torch_files import load_torch_file
from common.training_run import TrainingRun
from inference.image_tensors import normalize_rgb
from networks.tensors import network_tensors

CHECKPOINT_FILE, LOG_FILE, FEATURES_FILE = "checkpoint.pt", "epochs.jsonl", "taught.npy"
WARM_UP_FRACTION = 0.03  # of all steps
STATISTICS_IMAGES = 512
MIN_STD = 0.1  # relative to the mean standard deviation, so that nearly constant features do not dominate the loss


@dataclass(frozen=True)
class DistillationImages:
    """The images of a distillation.

    Attributes:
        train: Training images, in a fixed order.
        held_out: Images for the measurement after every epoch; nothing is chosen by it.
    """

    train: Sequence[Path]
    held_out: Sequence[Path] = ()


@dataclass(frozen=True)
class DistillationEpoch:
    """Report of one epoch.

    Attributes:
        epoch: Number of the epoch, from 1.
        size: The student's input side in pixels.
        loss: Mean over the steps.
        learning_rate: At the end of the epoch.
        held_out_cosine: Mean cosine similarity of the teacher's and the student's standardized features of held-out
            images, in [-1, 1].
    """

    epoch: int
    size: int
    loss: float
    learning_rate: float
    held_out_cosine: float


@reuse_large_allocations()
def distil(
    images: DistillationImages,
    teacher: Teacher,
    student: Backbone,
    settings: DistillationSettings,
    run: TrainingRun,
    workers: int = 0,
) -> dict[str, torch.Tensor]:
    """Train a student from random weights, continuing from the checkpoint in `run.work` if there is one.

    Args:
        images: Training and held-out images.
        teacher: The teacher.
        student: The student's architecture.
        settings: Hyperparameters.
        run: Where and how to train; its folder receives `checkpoint.pt`, `epochs.jsonl` and the teacher's features.
        workers: Number of additional processes that read images.

    Returns:
        The student's tensors, without the last layer, which predicted the teacher's features.

    Raises:
        TrainingError: If there are no images, one cannot be read, or the loss becomes infinite or NaN.
    """
    if not images.train:
        raise TrainingError("no image to train on")
    distillation = _Distillation(images, teacher, student, settings, run, workers)
    distillation.restore(run.work / CHECKPOINT_FILE)
    for epoch in range(len(distillation.reports) + 1, settings.epochs + 1):
        loss = distillation.train_epoch(epoch)
        distillation.reports.append(distillation.evaluate(epoch, loss))
        distillation.save(run.work / CHECKPOINT_FILE)
        lines = [json.dumps(asdict(report)) + "\n" for report in distillation.reports]
        write_atomically(run.work / LOG_FILE, "".join(lines))
        run.on_epoch(distillation.reports[-1])
    classifier = f"{student.classifier}."
    tensors = network_tensors(distillation.student)
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(classifier)}


class _Distillation:
    """State of one distillation."""

    def __init__(
        self,
        images: DistillationImages,
        teacher: Teacher,
        student: Backbone,
        settings: DistillationSettings,
        run: TrainingRun,
        workers: int,
    ) -> None:
        self.images, self.teacher, self.settings, self.run, self.workers = images, teacher, settings, run, workers
        self.autocast = torch.autocast(run.device.split(":")[0], torch.bfloat16, enabled=run.bf16)
        self.preprocessing = student.preprocessing
        self.teacher_network = TeacherNetwork(teacher.trunk, settings.grid, run.device, self.autocast)
        features = teacher.feature_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.student = pool_over_grid(student.build(features), student, settings.grid)
        self.student.to(run.device, memory_format=torch.channels_last)
        parameters = list(self.student.parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            ],
            settings.learning_rate,
        )
        # An incomplete last batch is dropped: with a single image, batch normalization would have no variance.
        self.steps = max(1, len(images.train) // settings.batch_size)
        shape = (settings.crops, len(images.train), settings.grid**2, features)
        self.feature_cache = open_feature_cache(run.work / FEATURES_FILE, shape)
        self.reports: list[DistillationEpoch] = []
        self.statistics: tuple[torch.Tensor, torch.Tensor] | None = None

    def train_epoch(self, epoch: int) -> float:
        """Train for one epoch, in an order determined by the seed and the epoch, and return the mean loss."""
        size, batch_size = self.settings.size_in(epoch), self.settings.batch_size
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(self.images.train)).tolist()
        batches = [order[step * batch_size : (step + 1) * batch_size] for step in range(self.steps)]
        crop = self.settings.crop_in(epoch)
        loader = iter(self._load(self.images.train, crop, batches))
        cache = self.feature_cache[crop - 1]
        self.student.train()
        total = 0.0
        for step in self.run.progress(range(self.steps), f"epoch {epoch}/{self.settings.epochs}", "step"):
            self._set_learning_rate((epoch - 1) * self.steps + step)
            crops = next(loader).to(self.run.device)
            targets = self.teacher_network.cached_features(crops, cache, batches[step])
            loss = self._loss(*self._mirror(targets, crops, epoch, step), size)
            if not math.isfinite(loss.item()):
                raise TrainingError(f"the loss became {loss.item()} in epoch {epoch}; try a lower learning rate")
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return total / self.steps

    def evaluate(self, epoch: int, loss: float) -> DistillationEpoch:
        """Measure the student on the held-out images."""
        size = self.settings.size_in(epoch)
        self.student.eval()
        cosines = [math.nan]
        if self.images.held_out:
            with torch.inference_mode():
                cosines = [
                    cosine
                    for batch in self._load(self.images.held_out, WHOLE_IMAGE)
                    for cosine in self._cosines(batch.to(self.run.device), size)
                ]
        learning_rate = self.optimizer.param_groups[0]["lr"]
        mean_cosine = float(np.mean(cosines))
        return DistillationEpoch(epoch, size, round(loss, 5), round(learning_rate, 8), round(mean_cosine, 5))

    def save(self, path: Path) -> None:
        """Write the checkpoint atomically."""
        buffer = io.BytesIO()
        state = {
            "student": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "statistics": list(self._feature_statistics()),
            "reports": [asdict(report) for report in self.reports],
        }
        torch.save(state, buffer)
        write_atomically(path, buffer.getvalue())

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint if there is one."""
        if not path.is_file():
            return
        state = load_torch_file(
            path,
            lambda reason: TrainingError(
                f"{path}: not a checkpoint to continue from ({reason}); delete it to start over"
            ),
            self.run.device,
        )
        check_keys(state, str(path), TrainingError, ["student", "optimizer", "statistics", "reports"])
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        mean, std = state["statistics"]
        self.statistics = (mean, std)
        self.reports = [DistillationEpoch(**report) for report in state["reports"]]

    def _mirror(
        self, targets: torch.Tensor, crops: torch.Tensor, epoch: int, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mirror each crop with probability 0.5, left to right, together with the cells of its targets."""
        is_mirrored = np.random.default_rng([self.settings.seed, epoch, step]).random(len(crops)) < 0.5
        mask = torch.from_numpy(is_mirrored).to(self.run.device)
        grid = self.settings.grid
        mirrored_targets = targets.unflatten(1, (grid, grid)).flip(2).flatten(1, 2)
        return (
            torch.where(mask.view(-1, 1, 1), mirrored_targets, targets),
            torch.where(mask.view(-1, 1, 1, 1), crops.flip(3), crops),
        )

    def _loss(self, targets: torch.Tensor, crops: torch.Tensor, size: int) -> torch.Tensor:
        """Compute the mean squared error of the standardized features, plus the divergence of the softened classes."""
        predicted = self._student_features(crops, size)
        loss = functional.mse_loss(self._standardize(predicted), self._standardize(targets))
        if self.teacher.weight is None or self.teacher.bias is None or not self.settings.logits_weight:
            return loss
        weight, bias = self.teacher.weight.to(self.run.device), self.teacher.bias.to(self.run.device)
        student_logits, teacher_logits = (
            functional.linear(features.mean(dim=1), weight, bias) / self.settings.temperature
            for features in (predicted, targets)
        )
        divergence = functional.kl_div(
            functional.log_softmax(student_logits, 1),
            functional.log_softmax(teacher_logits, 1),
            log_target=True,
            reduction="batchmean",
        )
        return loss + self.settings.logits_weight * self.settings.temperature**2 * divergence

    def _student_features(self, crops: torch.Tensor, size: int) -> torch.Tensor:
        inputs = normalize_rgb(crops, self.preprocessing.mean, self.preprocessing.std)
        if size != crops.shape[-1]:
            inputs = functional.interpolate(inputs, size=(size, size), mode="bilinear", antialias=True)
        with self.autocast:
            features: torch.Tensor = self.student(inputs.contiguous(memory_format=torch.channels_last))
        return features.float()

    def _cosines(self, images: torch.Tensor, size: int) -> list[float]:
        """Return the cosine similarity of the teacher's and the student's mean features of each image."""
        features = (self.teacher_network.features(images), self._student_features(images, size))
        teacher_means, student_means = (self._standardize(cells).mean(dim=1) for cells in features)
        return list(functional.cosine_similarity(teacher_means, student_means).tolist())

    def _standardize(self, features: torch.Tensor) -> torch.Tensor:
        mean, std = self._feature_statistics()
        return (features - mean) / std

    def _feature_statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and standard deviation of the teacher's features of a cell in a sample of images, shapes (D,)."""
        if self.statistics is None:
            order = np.random.default_rng(self.settings.seed).permutation(len(self.images.train))
            images = [self.images.train[index] for index in sorted(order[:STATISTICS_IMAGES].tolist())]
            with torch.inference_mode():
                batches = self._load(images, WHOLE_IMAGE)
                features = [self.teacher_network.features(batch.to(self.run.device)) for batch in batches]
                cells = torch.cat(features).flatten(0, 1)
                mean, std = cells.mean(dim=0), cells.std(dim=0, unbiased=False)
                std = std.clamp(min=MIN_STD * float(std.mean()))
            self.statistics = (mean.clone(), std.clone())
        return self.statistics

    def _load(
        self, images: Sequence[Path], crop: int, batches: list[list[int]] | None = None
    ) -> "DataLoader[torch.Tensor]":
        dataset = CropDataset(images, self.teacher.trunk.preprocessing.size, self.settings.seed, crop)
        if batches is None:
            return DataLoader(dataset, self.settings.batch_size, num_workers=self.workers)
        return DataLoader(dataset, batch_sampler=batches, num_workers=self.workers)

    def _set_learning_rate(self, step: int) -> None:
        steps = self.steps * self.settings.epochs
        warm_up = min(1.0, (step + 1) / max(1.0, WARM_UP_FRACTION * steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * step / steps))
