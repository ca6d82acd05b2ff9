"""Cross-validation of the heads behind stage 1 and the gates, with the clips of a source always in the same fold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from a2d.formats.base import Sample
from a2d.taxonomy import Taxonomy
from experiments.actor_data import ActorData
from experiments.experiment_setup import BoolArray, ExperimentSetup, FloatArray, IntArray
from pipeline.commands.console import progress_bar

TEST = -1  # the fold of test samples: predicted by heads that are trained on all train samples


@dataclass(frozen=True)
class HeldOutPredictions:
    """Predictions of one actor's heads for sampled frames from sources that they were not trained on.

    Attributes:
        sample_index: Index of each frame's sample in the setup, shape (K,).
        frame_index: Index of each frame in its clip, shape (K,).
        logits: Shape (K, outputs).
    """

    sample_index: IntArray
    frame_index: IntArray
    logits: FloatArray


def predict_out_of_fold(
    prepared: Sequence[ActorData], setup: ExperimentSetup, fold: IntArray, allowed: BoolArray | None = None
) -> dict[str, HeldOutPredictions]:
    """Predict every sample whose actor passes its gate by heads that were not trained on the sample's source.

    Args:
        prepared: See `prepare_actors`.
        setup: What all variants have in common.
        fold: The fold in which each sample is held out, `TEST` for test samples, shape (samples,).
        allowed: The train samples that may be trained on, shape (samples,); None for all.

    Returns:
        The predictions by actor.
    """
    allowed = np.ones(len(fold), dtype=bool) if allowed is None else allowed
    predictions = {}
    for data in progress_bar(prepared, "training", "head"):
        logits = np.zeros((len(data.sample_index), len(data.actor.labels)), np.float32)
        is_predicted = np.zeros(len(data.sample_index), dtype=bool)
        frame_fold = fold[data.sample_index]
        for held_out in np.unique(frame_fold):
            train = data.is_labelled & (frame_fold != held_out) & (frame_fold != TEST) & allowed[data.sample_index]
            predict = (frame_fold == held_out) & setup.present[data.sample_index, data.actor.index]
            if train.any() and predict.any():
                logits[predict] = data.learner.train_and_predict(train, predict)
                is_predicted |= predict
        predictions[data.actor.name] = HeldOutPredictions(
            data.sample_index[is_predicted], data.frame_index[is_predicted], logits[is_predicted]
        )
    return predictions


def repeat_folds(setup: ExperimentSetup, folds: int, repeats: int) -> IntArray:
    """Assign the train samples to folds several times, with different seeds, and the test samples to `TEST`.

    Returns:
        Shape (repeats, samples).
    """
    train = setup.samples[: setup.train_size]
    test = np.full(len(setup.samples) - setup.train_size, TEST)
    return np.stack(
        [np.append(assign_folds(train, setup.taxonomy, folds, setup.seed + repeat), test) for repeat in range(repeats)]
    )


def assign_folds(samples: Sequence[Sample], taxonomy: Taxonomy, folds: int, seed: int) -> IntArray:
    """Assign samples to folds, stratified by the kind of the first label and grouped by source.

    Returns:
        The fold in which each sample is held out, from 0, shape (samples,).
    """
    first_kinds = [taxonomy.label(sample.labels[0]).kind if sample.labels else "" for sample in samples]
    groups = [sample.group for sample in samples]
    fold = np.zeros(len(samples), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(splitter.split(first_kinds, first_kinds, groups)):
        fold[held_out] = number
    return fold
