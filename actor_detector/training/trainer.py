"""Teaching a small detector what its teachers see: many cheap epochs on a frozen backbone's features, then some deeper.

A phase freezes the backbone's first children, computes what they make of a series of augmented views once, and trains
everything behind them with Ultralytics' own end-to-end loss. Every epoch ends with a checkpoint, so a training that is
killed goes on from its last epoch and ends with the same weights as one that was not.
"""

import copy
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actor_detector.training.augmentation import augmented_view, balanced_chances, plain_view
from actor_detector.training.frozen_features import FeatureStore, compute_frozen_features, run_on_features
from actor_detector.training.pseudo_labels import PseudoLabelledImage
from common.errors import TrainingError

CONFIDENCES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)


@dataclass(frozen=True)
class Phase:
    """One part of the training.

    Attributes:
        name: For the log and the folder of features.
        frozen: Number of the backbone's first children that stay as they are.
        views: Number of augmented views in an epoch; every epoch sees the same ones.
        epochs: Passes over them.
        learning_rate: Of AdamW at the top of its cosine.
    """

    name: str
    frozen: int
    views: int
    epochs: int
    learning_rate: float


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a training but the images, the network and the phases.

    Attributes:
        image_size: Long side in pixels that the detector is made for.
        view_size: Side in pixels of training views.
        batch_size: Views a step.
        weight_decay: Of AdamW, on the weights of convolutions alone.
        average: Decay of the moving average of the weights, which is what is kept.
        backbone_share: Of the learning rate, for what moves in the backbone. At the whole rate its normalisation, whose
            statistics stay ImageNet's, lets the last feature map die.
        warm_up: Steps over which a phase's learning rate rises.
        seed: Of the views and their order.
    """

    image_size: int = 320
    view_size: int = 256
    batch_size: int = 32
    weight_decay: float = 0.01
    average: float = 0.998
    backbone_share: float = 0.1
    warm_up: int = 100
    seed: int = 0


@dataclass(frozen=True)
class DetectorEpoch:
    """What one epoch did.

    Attributes:
        phase: The phase's name.
        epoch: From 1, within the phase.
        loss: Mean over the views.
        learning_rate: At the epoch's end.
        confidence: The common confidence at which actors in held-out images are found best.
        presence_f1: At that confidence, in [0, 1]: F1 of "actor in this image" against the teachers, by actor's place.
        macro_f1: Their mean.
    """

    phase: str
    epoch: int
    loss: float
    learning_rate: float
    confidence: float
    presence_f1: tuple[float, ...]
    macro_f1: float


def train_detector(
    network: Any,
    images: Sequence[PseudoLabelledImage],
    held_out: Sequence[PseudoLabelledImage],
    phases: Sequence[Phase],
    settings: TrainingSettings,
    work: Path,
    device: str = "cpu",
    bf16: bool = False,
    on_epoch: Callable[[DetectorEpoch], None] = lambda report: None,
    progress: Callable[..., Iterable[int]] = lambda steps, what: steps,
) -> Any:
    """Train a detector, going on from the checkpoint in `work` where there is one.

    Args:
        network: An Ultralytics end-to-end detection model: a `TorchVision` backbone as layer 0, and `criterion` set.
        images: To learn from.
        held_out: To measure on after every epoch; nothing is chosen by it.
        phases: One after another.
        settings: How.
        work: Folder for features, `checkpoint.pt` and the log `epochs.jsonl`.
        device: `cpu` or `cuda:N`.
        bf16: Compute in bfloat16.
        on_epoch: Told after every epoch.
        progress: Wraps the steps, with their name as `what`, for a progress bar.

    Returns:
        The moving average of the network, in evaluation mode.

    Raises:
        TrainingError: If there is nothing to learn from, or the loss stops being a number.
    """
    if not any(len(image.boxes) for image in images):
        raise TrainingError("the teachers see no actor in any of the images")
    actors = network.model[-1].nc
    chances = balanced_chances(images, actors)
    network.to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(network)
    autocast = torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16)
    checkpoint = _load_checkpoint(work / "checkpoint.pt")
    first_phase = checkpoint["phase"] if checkpoint else 0
    for place, phase in enumerate(phases):
        if place < first_phase:
            continue
        resumed = checkpoint if checkpoint and place == first_phase else None
        if resumed:
            network.load_state_dict(resumed["network"])
            average.load_state_dict(resumed["average"])

        def make_view(number: int, place: int = place) -> Any:
            return augmented_view(
                images, chances, settings.image_size, settings.view_size, settings.seed + place, number
            )

        stores = [
            compute_frozen_features(
                work / f"{phase.name}-{part}",
                average.eval(),
                phase.frozen,
                make,
                count,
                device,
                autocast,
                progress=partial(progress, what=f"{phase.name}: features of {part} views"),
            )
            for part, make, count in (
                ("training", make_view, phase.views),
                ("held-out", lambda number: plain_view(held_out[number], settings.image_size), len(held_out)),
            )
        ]
        run = _PhaseRun(network, average, phase, settings, stores[0], stores[1], device, autocast)
        if resumed:
            run.optimizer.load_state_dict(resumed["optimizer"])
        for epoch in range(resumed["epoch"] + 1 if resumed else 1, phase.epochs + 1):
            loss = run.train_epoch(epoch, partial(progress, what=f"{phase.name} {epoch}/{phase.epochs}"))
            report = run.report(epoch, loss)
            _save_checkpoint(work / "checkpoint.pt", place, epoch, run)
            with (work / "epochs.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(report)) + "\n")
            on_epoch(report)
        checkpoint = None
    return average.eval()


class _PhaseRun:
    """The state of one phase: optimizer, schedule, criterion."""

    def __init__(
        self,
        network: Any,
        average: Any,
        phase: Phase,
        settings: TrainingSettings,
        store: FeatureStore,
        held_out: FeatureStore,
        device: str,
        autocast: torch.autocast,
    ) -> None:
        self.network, self.average = network, average
        self.phase, self.settings = phase, settings
        self.store, self.held_out = store, held_out
        self.device, self.autocast = device, autocast
        for parameter in network.parameters():
            parameter.requires_grad_(True)
        for parameter in network.model[0].m[: phase.frozen].parameters():
            parameter.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in part.parameters() if p.requires_grad and (p.ndim > 1) == decayed],
                 "weight_decay": settings.weight_decay if decayed else 0.0,
                 "share": share}
                for part, share in ((network.model[1:], 1.0), (network.model[:1], settings.backbone_share))
                for decayed in (True, False)
            ],
            phase.learning_rate,
        )  # fmt: skip
        self.steps = math.ceil(len(store) / settings.batch_size)

    def train_epoch(self, epoch: int, progress: Callable[[Iterable[int]], Iterable[int]]) -> float:
        """Pass once over the views, in an order that the seed and the epoch decide; give the mean loss."""
        network = self.network.train()
        network.model[0].eval()  # the backbone keeps ImageNet's statistics
        settings, size = self.settings, self.settings.batch_size
        order = np.random.default_rng([settings.seed, self.phase.frozen, epoch]).permutation(len(self.store))
        network.criterion.updates = epoch - 1
        if epoch > 1:
            network.criterion.o2m = network.criterion.decay(epoch - 1)
            network.criterion.o2o = network.criterion.total - network.criterion.o2m
        total = 0.0
        for step in progress(range(self.steps)):
            rows = np.sort(order[step * size : (step + 1) * size])
            self._set_learning_rate((epoch - 1) * self.steps + step)
            with self.autocast:
                predictions = run_on_features(network, self.store.batch(rows, self.device))
            loss = network.criterion(_to_float(predictions), _batch(self.store, rows, settings.view_size))[0].sum()
            if not math.isfinite(loss.item()):
                raise TrainingError(f"the loss became {loss.item()} in epoch {epoch}; try a lower learning rate")
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            self.optimizer.step()
            self._follow((epoch - 1) * self.steps + step)
            total += loss.item()
        return total / len(self.store)

    def report(self, epoch: int, loss: float) -> DetectorEpoch:
        """Measure the average network on the held-out images."""
        scores = presence_scores(self.average, self.held_out, self.device, self.autocast)
        truth = np.zeros(scores.shape, bool)
        for row, (_, actors) in enumerate(self.held_out.targets):
            truth[row, actors] = True
        tables = np.array([presence_f1(scores >= confidence, truth) for confidence in CONFIDENCES])
        best = int(tables.mean(axis=1).argmax())
        return DetectorEpoch(
            self.phase.name,
            epoch,
            round(loss, 4),
            round(self.optimizer.param_groups[0]["lr"], 7),
            CONFIDENCES[best],
            tuple(round(float(value), 4) for value in tables[best]),
            round(float(tables[best].mean()), 4),
        )

    def _set_learning_rate(self, step: int) -> None:
        warm = min(1.0, (step + 1) / self.settings.warm_up)
        cosine = 0.5 * (1 + math.cos(math.pi * step / (self.steps * self.phase.epochs)))
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * self.phase.learning_rate * warm * max(cosine, 0.01)

    def _follow(self, step: int) -> None:
        """Move the average towards the network; faster at the start, as Ultralytics does."""
        decay = min(self.settings.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - decay)
                else:
                    mean.copy_(value)


def presence_scores(network: Any, store: FeatureStore, device: str, autocast: torch.autocast) -> NDArray[np.float32]:
    """Give each actor's highest confidence in each view, shape (V, actors), in [0, 1]."""
    network.eval()
    parts = [np.zeros((0, network.model[-1].nc), np.float32)]
    with torch.inference_mode(), autocast:
        for start in range(0, len(store), 32):
            rows = np.arange(start, min(start + 32, len(store)))
            raw: Any = run_on_features(network, store.batch(rows, device))
            parts.append(raw[1]["one2one"]["scores"].float().sigmoid().amax(dim=2).cpu().numpy())
    return np.concatenate(parts)


def presence_f1(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give the F1 of each column of (images, actors), shape (actors,); 0 where nothing is said and nothing is there."""
    hits = (said & truth).sum(axis=0)
    return np.asarray(2 * hits / np.maximum(said.sum(axis=0) + truth.sum(axis=0), 1))


def _batch(store: FeatureStore, rows: NDArray[np.int64], side: int) -> dict[str, torch.Tensor]:
    """Put the boxes of some views into the form that Ultralytics' losses read: centre and size in [0, 1]."""
    targets = [store.targets[row] for row in rows]
    corners = torch.from_numpy(np.concatenate([boxes for boxes, _ in targets])) / side
    return {
        "batch_idx": torch.from_numpy(np.repeat(np.arange(len(rows)), [len(boxes) for boxes, _ in targets])).float(),
        "cls": torch.from_numpy(np.concatenate([actors for _, actors in targets])).float(),
        "bboxes": torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=1),
    }


def _to_float(value: Any) -> Any:
    """Turn every tensor of nested predictions into single precision, in which the loss is computed."""
    if isinstance(value, torch.Tensor):
        return value.float()
    if isinstance(value, dict):
        return {name: _to_float(item) for name, item in value.items()}
    return [_to_float(item) for item in value]


def _save_checkpoint(path: Path, phase: int, epoch: int, run: _PhaseRun) -> None:
    state = {
        "phase": phase,
        "epoch": epoch,
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def _load_checkpoint(path: Path) -> dict[str, Any] | None:
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
