"""Training of one head: only its file changes, as the hashes of all heads before and after show."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate
from torch import nn

from a2d.dataset import find_held_out_split, read_samples, read_stills
from a2d.metrics import Scores
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Actor, Taxonomy
from action_heads.checkpoint import HeadManifest, hash_heads, head_path, save_head
from action_heads.defaults import AUXILIARY_WEIGHT, LABEL_THRESHOLD, STILLS_WEIGHT
from action_heads.input_kinds import BOTH, MOVING
from action_heads.model import Trunk, initialize_from_trunk, share_trunk
from action_heads.preprocessing import Preprocessing
from action_heads.training.features import FeatureCache
from action_heads.training.finetuning import (
    FinetuningEpoch,
    FinetuningPlan,
    predict_frames,
    score_frames,
    train_head,
)
from action_heads.training.linear_probe import fit_linear_probe
from action_heads.training.recipes import PAPER, Recipe
from action_heads.training.samples import read_labelled_frames, samples_showing, target_matrix
from action_heads.tuning_modes import CLASSIFIER
from common.errors import ClipError, TrainingError
from common.progress import Progress, no_progress
from common.remote_folders import AnyFolder
from pipeline.cached_detector import CachedDetector
from pipeline.training.auxiliary_frames import AuxiliaryWeights, describe, sample_auxiliary_frames
from pipeline.training.epoch_log import EpochLog
from pipeline.training.head_data import HeadTrainingData
from pipeline.training.head_features import HeadFeatureExtractor, auxiliary_features
from pipeline.training.label_coverage import LabelCoverage, constant_f1, count_labels
from pipeline.training.training_frames import FrameSampler

DEFAULT_WEIGHTS = AuxiliaryWeights(AUXILIARY_WEIGHT, STILLS_WEIGHT)
SCORES = ("precision", "recall", "f1", "constant_f1")  # the last is that of always predicting the commonest label


@dataclass(frozen=True)
class HeadTrainingPlan:
    """What to train, on what and how.

    Attributes:
        actor: The actor whose head is trained.
        data: A labelled data set, see `a2d.dataset`.
        split: Split to train on.
        held_out: Split on which scores are reported as well; None selects `val` or `test`. Nothing is chosen by it.
        out: Folder of heads.
        trunk: Initial weights.
        tuning_mode: Which tensors may change, one of `action_heads.tuning_modes.TUNING_MODES`.
        input_kind: One of `action_heads.input_kinds.INPUT_KINDS`.
        recipe: Hyperparameters; ignored for tuning mode `classifier`.
        sample_every_seconds: Interval between the sampled frames of a clip that is labelled as a whole.
        seed: Of everything random.
        device: `cpu` or `cuda:N`.
        cache: Folder of cached features; None disables the cache.
        stills: A list of labelled images to train on as well, see `a2d.dataset.read_stills`; None for none.
        auxiliary_weights: What auxiliary clips and stills count, for tuning mode `classifier`; otherwise the clips are
            not used, and each still is one frame more.
        strict: Whether a clip that cannot be used is an error; otherwise, it is skipped.
        score_epochs: Whether a fine-tuned head is scored after every epoch, which takes time and changes nothing else.
    """

    actor: Actor
    data: Path
    split: str
    held_out: str | None
    out: Path
    trunk: Trunk
    tuning_mode: str
    input_kind: str
    recipe: Recipe
    sample_every_seconds: float
    seed: int
    device: str
    cache: AnyFolder | None
    stills: Path | None = None
    auxiliary_weights: AuxiliaryWeights = DEFAULT_WEIGHTS
    strict: bool = False
    score_epochs: bool = False

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing of the head."""
        return self.trunk.preprocessing

    def prepare(self) -> Self:
        """Write the trunk beside the heads that refer to it, if it is in no file yet; return the plan with that one.

        Raises:
            TrainingError: If the input does not fit the tuning mode.
            CheckpointError: If the heads there refer to another trunk.
        """
        if self.tuning_mode == CLASSIFIER:
            return self if self.trunk.is_apart else replace(self, trunk=share_trunk(self.trunk, self.out))
        if self.input_kind in (BOTH, MOVING):
            raise TrainingError(
                f"input {self.input_kind} requires --tune classifier; otherwise, use input crop or frame"
            )
        return self

    def describe(self) -> str:
        """Return one line that names what will be trained from what."""
        trunk = f"trunk {self.trunk.source} ({self.trunk.sha256[:8]})"
        if self.trunk.source == "random":
            trunk += ": it is untrained, so expect low scores from few clips"
            if self.recipe == PAPER:
                trunk += " (the published heads were initialized from --trunk imagenet)"
        recipe = "" if self.tuning_mode == CLASSIFIER else f", recipe {self.recipe.name}"
        return (
            f"training the {self.actor.name} head, {self.trunk.backbone.name}, input {self.input_kind}, "
            f"tuning {self.tuning_mode}{recipe}, on {self.device}, {trunk}"
        )


@dataclass(frozen=True)
class HeadTrainingReport:
    """Result of a training.

    Attributes:
        manifest: Of the new head.
        before: SHA-256 of every head in the folder before the training, by actor.
        after: Likewise, after the training.
        skipped: One line for each clip that could not be used.
        warnings: What the training samples cannot teach.
        epochs: Of a fine-tuning.
    """

    manifest: HeadManifest
    before: Mapping[str, str]
    after: Mapping[str, str]
    skipped: Sequence[str] = ()
    warnings: Sequence[str] = ()
    epochs: Sequence[FinetuningEpoch] = ()

    def table(self) -> str:
        """Format which heads changed, and the new head's scores, as text."""
        actors = sorted({*self.before, *self.after})
        rows = [[actor, self.before.get(actor, "–"), self.after[actor], self._change(actor)] for actor in actors]
        hashes = tabulate(rows, headers=["head", "sha256 before", "sha256 after", ""], disable_numparse=True)
        rows = [
            [split, str(scores["images"]), *(f"{100 * scores[name]:.1f}" for name in SCORES)]
            for split, scores in self.manifest.scores.items()
        ]
        title = f"The {self.manifest.actor} head alone, frame by frame (%)"
        always = f"F1 of always\n{self.manifest.data['commonest_label']}"
        scores = tabulate(rows, ["split", "frames", "P", "R", "F1", always], disable_numparse=True)
        return "\n\n".join([hashes, title, scores])

    def _change(self, actor: str) -> str:
        if actor not in self.before:
            return "new"
        return "same" if self.before[actor] == self.after[actor] else "changed"


@dataclass(frozen=True)
class _TrainedHead:
    """A trained head.

    Attributes:
        network: The network.
        recipe: Description of the training, for the manifest.
        scores: By split.
        coverage: Which labels its training samples show.
        epochs: Of a fine-tuning.
    """

    network: nn.Module
    recipe: dict[str, Any]
    scores: dict[str, Any]
    coverage: LabelCoverage
    epochs: Sequence[FinetuningEpoch] = ()


def retrain_head(
    plan: HeadTrainingPlan, taxonomy: Taxonomy, detector: CachedDetector, progress: Progress = no_progress
) -> HeadTrainingReport:
    """Train one actor's head and save it in its folder.

    Fine-tuning also writes its log beside the head, as `<actor>.jsonl`.

    Args:
        plan: What to train, on what and how.
        taxonomy: Of the data set.
        detector: Locates the actor.
        progress: Shows the progress of each stage.

    Returns:
        The report.

    Raises:
        UserError: If the data set is invalid or does not show the actor, or the training fails.
    """
    plan = plan.prepare()
    data = _sample_data(plan, taxonomy, detector, progress)
    before = hash_heads(plan.out)
    train = _fit_classifier if plan.tuning_mode == CLASSIFIER else _finetune
    try:
        trained = train(plan, data, progress)
    except (ClipError, OSError):
        if not data.drop_undecodable():
            raise
        trained = train(plan, data, progress)
    manifest = HeadManifest(
        actor=plan.actor.name,
        labels=plan.actor.label_names,
        backbone=plan.trunk.backbone.name,
        tuned=plan.tuning_mode,
        input=plan.input_kind,
        preprocessing=plan.preprocessing.to_dict(),
        trunk={"source": plan.trunk.source, "sha256": plan.trunk.sha256},
        recipe=trained.recipe,
        data=_summarize_data(plan, data, trained.coverage),
        seed=plan.seed,
        scores=trained.scores,
    )
    save_head(head_path(plan.out, plan.actor.name), trained.network, manifest)
    after = hash_heads(plan.out)
    return HeadTrainingReport(manifest, before, after, data.reasons, trained.coverage.warnings(), trained.epochs)


def _sample_data(
    plan: HeadTrainingPlan, taxonomy: Taxonomy, detector: CachedDetector, progress: Progress
) -> HeadTrainingData:
    """Read the split to train on and the held-out split, if any, and sample their frames.

    Raises:
        TrainingError: If no usable sample of the split to train on shows the actor.
    """
    held_out = find_held_out_split(plan.data, plan.split, plan.held_out)
    skipped = {split: SkippedSamples(plan.strict) for split in filter(None, (plan.split, held_out))}
    samples = {split: read_samples(plan.data, split, taxonomy, skipped[split]) for split in skipped}
    if not samples_showing(plan.actor, samples[plan.split]):
        message = f"{plan.data}: no sample of split {plan.split!r} shows the actor {plan.actor.name!r}"
        reasons = skipped[plan.split].reasons
        raise TrainingError(message + (f"; {len(reasons)} are unusable, the first: {reasons[0]}" if reasons else ""))
    stills = read_stills(plan.stills, plan.split, taxonomy, skipped[plan.split]) if plan.stills else []
    weights = plan.auxiliary_weights if plan.tuning_mode == CLASSIFIER else replace(plan.auxiliary_weights, borrowed=0)
    samplers = {
        split: FrameSampler(detector, plan.input_kind, plan.sample_every_seconds, skipped[split], progress)
        for split in samples
    }
    frames = {
        split: samplers[split].sample(plan.actor, samples_showing(plan.actor, split_samples))
        for split, split_samples in samples.items()
    }
    auxiliary = sample_auxiliary_frames(
        plan.actor, taxonomy, samples[plan.split], stills, weights, samplers[plan.split]
    )
    data = HeadTrainingData(plan.actor, plan.split, frames, auxiliary, skipped, detector.runtime)
    data.check()
    return data


def _fit_classifier(plan: HeadTrainingPlan, data: HeadTrainingData, progress: Progress) -> _TrainedHead:
    extractor = HeadFeatureExtractor(plan.trunk, plan.input_kind, FeatureCache(plan.cache), data.runtime, progress)
    auxiliary = auxiliary_features(plan.actor, data.auxiliary, extractor)
    features = {
        split: extractor.labelled_features(
            split_frames, target_matrix(plan.actor, [frame.sample for frame in split_frames])
        )
        for split, split_frames in data.frames.items()
    }
    probe = fit_linear_probe(features[plan.split], auxiliary)
    network = plan.trunk.backbone.build_head(len(plan.actor.labels), plan.input_kind)
    initialize_from_trunk(network, plan.trunk)
    probe.copy_into(network, plan.trunk.backbone.classifier)
    coverage = count_labels(plan.actor, data.frames[plan.split], auxiliary)
    scores = {
        split: _score(plan.actor, coverage, probe.probabilities(labelled.values[:, 0]), labelled.targets)
        for split, labelled in features.items()
        if len(labelled)
    }
    return _TrainedHead(network.eval(), probe.recipe() | describe(data.auxiliary), scores, coverage)


def _finetune(plan: HeadTrainingPlan, data: HeadTrainingData, progress: Progress) -> _TrainedHead:
    # Frames to augment are stored larger than the input; frames that are only scored are stored at the input size.
    size = plan.preprocessing.size
    training_size = plan.preprocessing.stored_size if plan.recipe.augment else size
    labelled = {
        split: read_labelled_frames(
            plan.actor,
            [*split_frames, *(data.stills if split == plan.split else [])],
            plan.input_kind,
            training_size if split == plan.split else size,
            progress,
        )
        for split, split_frames in data.frames.items()
    }
    scored = {split: images for split, images in labelled.items() if len(images)}

    def predict(network: nn.Module) -> dict[str, NDArray[np.float32]]:
        """Return the probabilities for the frames of every split."""
        return {
            split: predict_frames(network, images, plan.preprocessing, plan.device) for split, images in scored.items()
        }

    def score_epoch(network: nn.Module) -> dict[str, Scores]:
        predicted = predict(network).items()
        return {split: score_frames(values, scored[split].targets, LABEL_THRESHOLD) for split, values in predicted}

    log = EpochLog(plan.out / f"{plan.actor.name}.jsonl")
    finetuning = FinetuningPlan(plan.recipe, plan.tuning_mode, plan.seed, plan.device)
    scorer = score_epoch if plan.score_epochs else None
    network = train_head(labelled[plan.split], plan.trunk, finetuning, log, progress, scorer)
    log.finish()
    coverage = count_labels(plan.actor, data.frames[plan.split])
    scores = {
        split: _score(plan.actor, coverage, probabilities, scored[split].targets)
        for split, probabilities in predict(network).items()
    }
    return _TrainedHead(network, asdict(plan.recipe) | describe(data.auxiliary), scores, coverage, log.epochs)


def _score(
    actor: Actor, coverage: LabelCoverage, probabilities: NDArray[np.float32], targets: NDArray[np.bool_]
) -> dict[str, Any]:
    scores = score_frames(probabilities, targets, LABEL_THRESHOLD).to_dict()
    always = constant_f1(actor, coverage.commonest, targets)
    return {"images": len(targets)} | scores | {"constant_f1": always}


def _summarize_data(plan: HeadTrainingPlan, data: HeadTrainingData, coverage: LabelCoverage) -> dict[str, Any]:
    """Describe the training data for the manifest, without the path of the data set."""
    frames = data.frames[plan.split]
    return {
        "name": plan.data.name,
        "split": plan.split,
        "samples": coverage.samples,
        "skipped": len(data.skipped[plan.split]),
        "sources": len({frame.sample.group for frame in frames}),
        "images": len(frames),
        "samples_per_label": dict(zip(coverage.labels, coverage.showing.tolist(), strict=True)),
        "commonest_label": coverage.commonest,
        **coverage.to_dict(),
    }
