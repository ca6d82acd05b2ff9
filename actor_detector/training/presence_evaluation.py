"""How well a detector in training finds which actors are present in held-out images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from actor_detector.training.frozen_features import BATCH_SIZE, FeatureStore, autocast, run_on_features
from common.training_run import TrainingRun

CONFIDENCES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)


@dataclass(frozen=True)
class PresenceScores:
    """Scores at the confidence threshold with the highest macro F1.

    Attributes:
        confidence: The threshold, one of `CONFIDENCES`.
        f1: F1 of "actor present in the image" for each actor, shape (actors,), in [0, 1].
    """

    confidence: float
    f1: NDArray[np.float64]


def evaluate_presence(network: Any, held_out: FeatureStore, run: TrainingRun) -> PresenceScores:
    """Compare a network with the pseudo-labels of held-out images."""
    confidence = presence_confidence(network, held_out, run)
    targets = np.zeros(confidence.shape, bool)
    for row, (_, actors) in enumerate(held_out.targets):
        targets[row, actors] = True
    f1 = np.array([presence_f1(confidence >= threshold, targets) for threshold in CONFIDENCES])
    best = int(f1.mean(axis=1).argmax())
    return PresenceScores(CONFIDENCES[best], f1[best])


def presence_confidence(network: Any, store: FeatureStore, run: TrainingRun) -> NDArray[np.float32]:
    """Compute the highest confidence of each actor in each view, shape (V, actors), in [0, 1]."""
    network.eval()
    batches = [np.zeros((0, network.model[-1].nc), np.float32)]
    with torch.inference_mode(), autocast(run):
        for start in range(0, len(store), BATCH_SIZE):
            rows = np.arange(start, min(start + BATCH_SIZE, len(store)))
            output: Any = run_on_features(network, store.batch(rows, run.device))
            batches.append(output[1]["one2one"]["scores"].float().sigmoid().amax(dim=2).cpu().numpy())
    return np.concatenate(batches)


def presence_f1(predicted: NDArray[np.bool_], targets: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute the F1 of each column of (images, actors), shape (actors,); 0 without positives in either."""
    true_positives = (predicted & targets).sum(axis=0)
    return np.asarray(2 * true_positives / np.maximum(predicted.sum(axis=0) + targets.sum(axis=0), 1))
