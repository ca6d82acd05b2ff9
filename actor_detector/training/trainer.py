"""Training of a small detector on pseudo-labels: many cheap epochs on a frozen backbone's features, then deeper ones.

A phase freezes the backbone's first children, computes their features for a series of augmented views once, and trains
all later layers with Ultralytics' end-to-end loss; a phase that freezes none trains the whole network on fresh views.
Every epoch ends with a checkpoint, so that an interrupted training can be resumed and ends with the same weights as an
uninterrupted one.
"""

import copy
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from actor_detector.training.augmentation import TrainingView, augmented_view, plain_view, sampling_probabilities
from actor_detector.training.frozen_features import (
    FeatureStore,
    Targets,
    ViewSeries,
    autocast,
    compute_frozen_features,
    run_on_features,
)
from actor_detector.training.presence_evaluation import evaluate_presence
from actor_detector.training.pseudo_labels import PseudoLabelledImage
from actor_detector.training.settings import Phase, TrainingSettings
from actor_detector.training.view_stream import Batch, BatchSource, FreshViews, SavedFeatures, steps_per_epoch
from common.errors import TrainingError
from common.files import check_keys, write_atomically
from common.system import reuse_large_allocations
from common.torch_files import load_torch_file
from common.training_run import TrainingRun

CHECKPOINT_FILE = "checkpoint.pt"
MAX_GRADIENT_NORM = 10.0


@dataclass(frozen=True)
class DetectorEpoch:
    """Report of one epoch.

    Attributes:
        phase: The phase's name.
        epoch: From 1, within the phase.
        loss: Mean over the views.
        learning_rate: At the end of the epoch.
        confidence: The confidence threshold, common to all actors, with the highest macro F1 on the held-out images.
        presence_f1: At that threshold, in [0, 1]: F1 of "actor present in the image" against the pseudo-labels, by
            index of the actor.
        macro_f1: Mean of `presence_f1`.
    """

    phase: str
    epoch: int
    loss: float
    learning_rate: float
    confidence: float
    presence_f1: tuple[float, ...]
    macro_f1: float


@reuse_large_allocations()
def train_detector(
    network: Any,
    images: Sequence[PseudoLabelledImage],
    held_out: Sequence[PseudoLabelledImage],
    phases: Sequence[Phase],
    settings: TrainingSettings,
    run: TrainingRun,
) -> Any:
    """Train a detector, resuming from the checkpoint in the work folder if there is one.

    Args:
        network: An Ultralytics end-to-end detection model: a `TorchVision` backbone as layer 0, and `criterion` set.
        images: The training images.
        held_out: Images for the evaluation after every epoch; no choice depends on it.
        phases: The phases, in order.
        settings: Settings of all phases.
        run: Where and how to train. The work folder receives features, `checkpoint.pt` and the log `epochs.jsonl`.

    Returns:
        The moving average of the network, in evaluation mode.

    Raises:
        TrainingError: If no image contains an actor, or the loss becomes infinite or NaN.
    """
    if not any(len(image.boxes) for image in images):
        raise TrainingError("the teachers detect no actor in any of the images")
    network.to(run.device, memory_format=torch.channels_last)
    network.criterion = network.init_criterion()  # on the device
    model = _AveragedModel(network, copy.deepcopy(network))
    checkpoint = _load_checkpoint(run.work / CHECKPOINT_FILE)
    first_phase = checkpoint["phase"] if checkpoint else 0
    for index, phase in enumerate(phases):
        if index < first_phase:
            continue
        resumed = checkpoint if checkpoint and index == first_phase else None
        if resumed:
            model.load(resumed)
        views = _augmented_views(images, model.actors, phase, settings, settings.seed + index)
        source = _batch_source(model.average.eval(), phase, settings, views, run)
        evaluation = _compute_features(model.average, phase, "held-out", _plain_views(held_out, phase, settings), run)
        trainer = _PhaseTrainer(model, phase, settings, source, run)
        if resumed:
            trainer.optimizer.load_state_dict(resumed["optimizer"])
        for epoch in range(resumed["epoch"] + 1 if resumed else 1, phase.epochs + 1):
            loss = trainer.train_epoch(epoch)
            report = trainer.report(epoch, loss, evaluation)
            _save_checkpoint(run.work / CHECKPOINT_FILE, index, epoch, trainer)
            with (run.work / "epochs.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(report)) + "\n")
            run.on_epoch(report)
    return model.average.eval()


def _augmented_views(
    images: Sequence[PseudoLabelledImage], actors: int, phase: Phase, settings: TrainingSettings, seed: int
) -> ViewSeries:
    probabilities = sampling_probabilities(images, actors)
    make_view = partial(augmented_view, images, probabilities, settings.image_size, settings.view_size, seed)
    return ViewSeries(f"{phase.name}: features of training views", make_view, phase.views)


def _plain_views(images: Sequence[PseudoLabelledImage], phase: Phase, settings: TrainingSettings) -> ViewSeries:
    def make_view(number: int) -> TrainingView:
        return plain_view(images[number], settings.image_size)

    return ViewSeries(f"{phase.name}: features of held-out views", make_view, len(images))


def _batch_source(
    average: Any, phase: Phase, settings: TrainingSettings, views: ViewSeries, run: TrainingRun
) -> BatchSource:
    if not phase.frozen:
        return FreshViews(views.make_view, phase.views, settings.batch_size, run.device, run.workers)
    store = _compute_features(average, phase, "training", views, run)
    return SavedFeatures(store, settings.batch_size, (settings.seed, phase.frozen), run.device)


def _compute_features(average: Any, phase: Phase, part: str, views: ViewSeries, run: TrainingRun) -> FeatureStore:
    return compute_frozen_features(run.work / f"{phase.name}-{part}", average, phase.frozen, views, run)


@dataclass(frozen=True)
class _AveragedModel:
    """A network in training, and the exponential moving average of its weights."""

    network: Any
    average: Any

    @property
    def actors(self) -> int:
        return int(self.network.model[-1].nc)

    def load(self, checkpoint: dict[str, Any]) -> None:
        self.network.load_state_dict(checkpoint["network"])
        self.average.load_state_dict(checkpoint["average"])

    def update_average(self, decay: float) -> None:
        pairs = list(zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True))
        floating = [pair for pair in pairs if pair[0].dtype.is_floating_point]
        with torch.no_grad():
            get_ema_multi_avg_fn(decay)([mean for mean, _ in floating], [value for _, value in floating], None)
            for mean, value in pairs:
                if not mean.dtype.is_floating_point:
                    mean.copy_(value)


class _PhaseTrainer:
    """Trains one phase: holds its optimizer and computes its schedules."""

    def __init__(
        self, model: _AveragedModel, phase: Phase, settings: TrainingSettings, source: BatchSource, run: TrainingRun
    ) -> None:
        self.model, self.phase, self.settings, self.source, self.run = model, phase, settings, source, run
        for parameter in model.network.parameters():
            parameter.requires_grad_(True)
        for parameter in model.network.model[0].m[: phase.frozen].parameters():
            parameter.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(_parameter_groups(model.network, phase, settings), phase.learning_rate)
        self.steps = steps_per_epoch(source, settings.batch_size)

    def train_epoch(self, epoch: int) -> float:
        """Train on all views of an epoch once, and return the mean loss."""
        network = self.model.network.train()
        if self.phase.frozen:
            network.model[0].eval()  # the backbone's batch normalization keeps the statistics of ImageNet
        network.criterion.updates = epoch - 1
        if epoch > 1:
            network.criterion.o2m = network.criterion.decay(epoch - 1)
            network.criterion.o2o = network.criterion.total - network.criterion.o2m
        total = 0.0
        description = f"{self.phase.name} {epoch}/{self.phase.epochs}"
        steps = self.run.progress(range(self.steps), description, "step")
        for step, batch in zip(steps, self.source.batches(epoch), strict=True):
            self._set_learning_rate((epoch - 1) * self.steps + step)
            loss = self._loss(batch)
            if not math.isfinite(loss.item()):
                raise TrainingError(f"the loss became {loss.item()} in epoch {epoch}; try a lower learning rate")
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            self.optimizer.step()
            self._update_average((epoch - 1) * self.steps + step)
            total += loss.item()
        return total / self.source.views

    def report(self, epoch: int, loss: float, held_out: FeatureStore) -> DetectorEpoch:
        """Evaluate the average network on the held-out images."""
        scores = evaluate_presence(self.model.average, held_out, self.run)
        return DetectorEpoch(
            self.phase.name,
            epoch,
            round(loss, 4),
            round(self.optimizer.param_groups[0]["lr"], 7),
            scores.confidence,
            tuple(round(float(value), 4) for value in scores.f1),
            round(float(scores.f1.mean()), 4),
        )

    def _loss(self, batch: Batch) -> torch.Tensor:
        features, targets = batch
        network = self.model.network
        with autocast(self.run):
            predictions = run_on_features(network, features)
        expected = _loss_targets(targets, self.settings.view_size)
        loss: torch.Tensor = network.criterion(_to_float(predictions), expected)[0].sum()
        return loss

    def _set_learning_rate(self, step: int) -> None:
        warm_up = min(1.0, (step + 1) / self.settings.warm_up)
        cosine = 0.5 * (1 + math.cos(math.pi * step / (self.steps * self.phase.epochs)))
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * self.phase.learning_rate * warm_up * max(cosine, 0.01)

    def _update_average(self, step: int) -> None:
        """Update the moving average, which follows faster at the start, as in Ultralytics."""
        self.model.update_average(min(self.settings.average, (1 + step) / (10 + step)))


def _parameter_groups(network: Any, phase: Phase, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Group the trained parameters by their weight decay and their share of the learning rate."""
    groups = []
    backbone_share = settings.backbone_share if phase.frozen else 1.0
    for part, share in ((network.model[1:], 1.0), (network.model[:1], backbone_share)):
        parameters = [parameter for parameter in part.parameters() if parameter.requires_grad]
        for is_decayed in (True, False):
            groups.append(
                {
                    "params": [parameter for parameter in parameters if (parameter.ndim > 1) == is_decayed],
                    "weight_decay": settings.weight_decay if is_decayed else 0.0,
                    "share": share,
                }
            )
    return groups


def _loss_targets(targets: Sequence[Targets], side: int) -> dict[str, torch.Tensor]:
    """Convert the targets of some views to the format of Ultralytics' losses: centre and size in [0, 1]."""
    corners = torch.from_numpy(np.concatenate([boxes for boxes, _ in targets])) / side
    return {
        "batch_idx": torch.from_numpy(np.repeat(np.arange(len(targets)), [len(boxes) for boxes, _ in targets])).float(),
        "cls": torch.from_numpy(np.concatenate([actors for _, actors in targets])).float(),
        "bboxes": torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=1),
    }


def _to_float(value: Any) -> Any:
    """Convert every tensor of nested predictions to single precision, in which the loss is computed."""
    if isinstance(value, torch.Tensor):
        return value.float()
    if isinstance(value, dict):
        return {name: _to_float(item) for name, item in value.items()}
    return [_to_float(item) for item in value]


def _save_checkpoint(path: Path, phase: int, epoch: int, trainer: _PhaseTrainer) -> None:
    state = {
        "phase": phase,
        "epoch": epoch,
        "network": trainer.model.network.state_dict(),
        "average": trainer.model.average.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def _load_checkpoint(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    state = load_torch_file(
        path,
        lambda reason: TrainingError(f"{path}: not a checkpoint to continue from ({reason}); delete it to start over"),
    )
    return dict(check_keys(state, str(path), TrainingError, ["phase", "epoch", "network", "average", "optimizer"]))
