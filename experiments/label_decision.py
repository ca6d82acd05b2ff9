"""Variants of the decision from the logits of a clip's frames to its labels."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from action_heads.label_decision import to_probabilities
from experiments.cross_validation import HeldOutPredictions
from experiments.experiment_setup import BoolArray, ExperimentSetup, FloatArray, IntArray
from pipeline.label_choice import choose_labels

MOST_LIKELY_ONLY = 2.0  # a threshold that no probability reaches, so that only the most likely label is predicted


@dataclass(frozen=True)
class LabelDecision:
    """How labels are decided; the defaults are those of the tagger.

    Attributes:
        pool: Maps the logits of a clip's frames (K, outputs) to its probabilities (outputs,).
        threshold: Minimum probability of a predicted label; with `MOST_LIKELY_ONLY`, one label is predicted per actor.
            None chooses it for each clip.
    """

    pool: Callable[[FloatArray], FloatArray] = field(default=lambda logits: to_probabilities(logits.mean(axis=0)))
    threshold: float | None = None

    def predict(self, predictions: Mapping[str, HeldOutPredictions], setup: ExperimentSetup) -> BoolArray:
        """Predict the labels of every sample.

        Args:
            predictions: By actor.
            setup: Its samples.

        Returns:
            Shape (samples, labels).
        """
        predicted = np.zeros((len(setup.samples), len(setup.taxonomy.labels)), dtype=bool)
        scores: dict[int, dict[str, float]] = defaultdict(dict)
        for name, of_actor in predictions.items():
            for sample in np.unique(of_actor.sample_index).tolist():
                rows = of_actor.sample_index == sample
                probabilities = self.pool(pool_boxes(of_actor.logits[rows], of_actor.frame_index[rows]))
                scores[sample] |= dict(zip(setup.taxonomy.actor(name).label_names, probabilities.tolist(), strict=True))
        for sample, of_sample in scores.items():
            predicted[sample] = choose_labels(of_sample, setup.taxonomy, self.threshold)
        return predicted


def pool_boxes(logits: FloatArray, frame_index: IntArray) -> FloatArray:
    """Return each label's maximum over the boxes of a frame, from logits (K, outputs) to (frames, outputs)."""
    frames, row = np.unique(frame_index, return_inverse=True)
    best = np.full((len(frames), logits.shape[1]), -np.inf, np.float32)
    np.maximum.at(best, row, logits)
    return best
