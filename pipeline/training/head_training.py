"""Training of one head: only its file changes, as the hashes of all heads before and after show."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate
from torch import nn

from a2d.dataset import find_held_out_split, read_samples
from a2d.formats.base import Sample
from a2d.taxonomy import Actor, Taxonomy
from action_heads.checkpoint import HeadManifest, hash_heads, head_path, save_head
from action_heads.defaults import AUXILIARY_WEIGHT, LABEL_THRESHOLD
from action_heads.input_kinds import BOTH, MOVING
from action_heads.model import Trunk, initialize_from_trunk
from action_heads.preprocessing import Preprocessing
from action_heads.training.features import FeatureCache
from action_heads.training.finetuning import (
    FinetuningEpoch,
    FinetuningPlan,
    predict_frames,
    score_frames,
    train_head,
)
from action_heads.training.linear_probe import AuxiliaryFeatures, LabelledFeatures, LinearProbe, fit_linear_probe
from action_heads.training.recipes import PAPER, Recipe
from action_heads.training.samples import (
    LabelledFrames,
    SampledFrame,
    read_labelled_frames,
    samples_showing,
    target_matrix,
)
from action_heads.trunk_files import EMBEDDED
from action_heads.tuning_modes import CLASSIFIER
from common.errors import TrainingError
from common.progress import Progress, no_progress
from pipeline.cached_detector import CachedDetector
from pipeline.training.head_features import HeadFeatureExtractor, auxiliary_features, sample_auxiliary_frames
from pipeline.training.training_frames import sample_training_frames


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
        auxiliary_weight: Weight of a sample of an auxiliary actor, for tuning mode `classifier`; 0 uses none. The
            actor's own samples have weight 1.
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
    cache: Path | None
    auxiliary_weight: float = AUXILIARY_WEIGHT

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing of the head."""
        return self.trunk.preprocessing

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
    """

    manifest: HeadManifest
    before: Mapping[str, str]
    after: Mapping[str, str]

    def table(self) -> str:
        """Format which heads changed, and the new head's scores, as text."""
        actors = sorted({*self.before, *self.after})
        rows = [[actor, self.before.get(actor, "–"), self.after[actor], self._change(actor)] for actor in actors]
        hashes = tabulate(rows, headers=["head", "sha256 before", "sha256 after", ""], disable_numparse=True)
        rows = [
            [split, str(scores["images"]), *(f"{100 * scores[name]:.1f}" for name in ("precision", "recall", "f1"))]
            for split, scores in self.manifest.scores.items()
        ]
        title = f"The {self.manifest.actor} head alone, frame by frame (%)"
        scores = tabulate(rows, ["split", "frames", "P", "R", "F1"], disable_numparse=True)
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
    """

    network: nn.Module
    recipe: dict[str, Any]
    scores: dict[str, Any]


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
    if plan.input_kind in (BOTH, MOVING) and (plan.tuning_mode != CLASSIFIER or plan.trunk.source != EMBEDDED):
        raise TrainingError(
            f"input {plan.input_kind} requires --tune classifier and the embedded trunk; otherwise, use input crop or "
            "frame"
        )
    samples = _read_samples(plan, taxonomy)
    frames = {
        split: sample_training_frames(
            samples_showing(plan.actor, split_samples),
            plan.actor,
            detector,
            plan.input_kind,
            plan.sample_every_seconds,
            progress,
        )
        for split, split_samples in samples.items()
    }
    before = hash_heads(plan.out)
    if plan.tuning_mode == CLASSIFIER:
        cache = FeatureCache(plan.cache)
        extractor = HeadFeatureExtractor(plan.trunk, plan.input_kind, cache, plan.device, progress)
        auxiliary_actors = [taxonomy.actor(name) for name in plan.actor.auxiliary_actors if plan.auxiliary_weight]
        auxiliary_frames = sample_auxiliary_frames(
            auxiliary_actors, samples[plan.split], detector, plan.input_kind, plan.sample_every_seconds, progress
        )
        auxiliary = auxiliary_features(plan.actor, auxiliary_frames, extractor, plan.auxiliary_weight)
        trained = _fit_classifier(plan, frames, extractor, auxiliary)
    else:
        trained = _finetune(plan, frames, progress)
    manifest = HeadManifest(
        actor=plan.actor.name,
        labels=plan.actor.label_names,
        backbone=plan.trunk.backbone.name,
        tuned=plan.tuning_mode,
        input=plan.input_kind,
        preprocessing=plan.preprocessing.to_dict(),
        trunk={"source": plan.trunk.source, "sha256": plan.trunk.sha256},
        recipe=trained.recipe,
        data=_summarize_data(plan, frames[plan.split]),
        seed=plan.seed,
        scores=trained.scores,
    )
    save_head(head_path(plan.out, plan.actor.name), trained.network, manifest)
    return HeadTrainingReport(manifest, before, hash_heads(plan.out))


def _read_samples(plan: HeadTrainingPlan, taxonomy: Taxonomy) -> dict[str, list[Sample]]:
    """Read the samples of the split to train on and of the held-out split, if any."""
    held_out = find_held_out_split(plan.data, plan.split, plan.held_out)
    samples = {split: read_samples(plan.data, split, taxonomy) for split in filter(None, (plan.split, held_out))}
    if not samples_showing(plan.actor, samples[plan.split]):
        raise TrainingError(f"{plan.data}: no sample of split {plan.split!r} shows the actor {plan.actor.name!r}")
    return samples


def _fit_classifier(
    plan: HeadTrainingPlan,
    frames: Mapping[str, Sequence[SampledFrame]],
    extractor: HeadFeatureExtractor,
    auxiliary: AuxiliaryFeatures | None,
) -> _TrainedHead:
    features = {
        split: extractor.labelled_features(
            split_frames, target_matrix(plan.actor, [frame.sample for frame in split_frames])
        )
        for split, split_frames in frames.items()
    }
    probe = fit_linear_probe(features[plan.split], auxiliary)
    network = plan.trunk.backbone.build_head(len(plan.actor.labels), plan.input_kind)
    initialize_from_trunk(network, plan.trunk)
    probe.copy_into(network, plan.trunk.backbone.classifier)
    scores = {split: _score_probe(probe, labelled) for split, labelled in features.items() if len(labelled)}
    recipe = probe.recipe()
    if auxiliary:
        recipe["borrowed"] = {
            "from": plan.actor.auxiliary_actors,
            "samples": len(set(auxiliary.features.sample.tolist())),
            "weight": auxiliary.weight,
        }
    return _TrainedHead(network.eval(), recipe, scores)


def _finetune(plan: HeadTrainingPlan, frames: Mapping[str, Sequence[SampledFrame]], progress: Progress) -> _TrainedHead:
    # Frames to augment are stored larger than the input; frames that are only scored are stored at the input size.
    size = plan.preprocessing.size
    training_size = plan.preprocessing.stored_size if plan.recipe.augment else size
    labelled = {
        split: read_labelled_frames(
            plan.actor, split_frames, plan.input_kind, training_size if split == plan.split else size, progress
        )
        for split, split_frames in frames.items()
    }
    log = _EpochLog(plan.out / f"{plan.actor.name}.jsonl")
    finetuning = FinetuningPlan(plan.recipe, plan.tuning_mode, plan.seed, plan.device)
    network = train_head(labelled[plan.split], plan.trunk, finetuning, log, progress)
    log.finish()
    scores = {split: _score_network(network, images, plan) for split, images in labelled.items() if len(images)}
    return _TrainedHead(network, asdict(plan.recipe), scores)


class _EpochLog:
    """Writes one JSON line per epoch; the log of an earlier training is replaced only once this one is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_suffix(".jsonl.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.partial.write_text("")

    def __call__(self, report: FinetuningEpoch) -> None:
        with self.partial.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(report)) + "\n")

    def finish(self) -> None:
        """Move the complete log to its final path."""
        self.partial.replace(self.path)


def _score_probe(probe: LinearProbe, features: LabelledFeatures) -> dict[str, Any]:
    scores = score_frames(probe.probabilities(features.values[:, 0]), features.targets, LABEL_THRESHOLD)
    return {"images": len(features)} | scores.to_dict()


def _score_network(network: nn.Module, frames: LabelledFrames, plan: HeadTrainingPlan) -> dict[str, Any]:
    probabilities = predict_frames(network, frames, plan.preprocessing, plan.device)
    scores = score_frames(probabilities, frames.targets, LABEL_THRESHOLD)
    return {"images": len(frames)} | scores.to_dict()


def _summarize_data(plan: HeadTrainingPlan, frames: Sequence[SampledFrame]) -> dict[str, Any]:
    """Describe the training data for the manifest, without the path of the data set."""
    samples = list({id(frame.sample): frame.sample for frame in frames}.values())
    counts = Counter(name for sample in samples for name in sample.labels if name in plan.actor.label_names)
    return {
        "name": plan.data.name,
        "split": plan.split,
        "samples": len(samples),
        "sources": len({sample.group for sample in samples}),
        "images": len(frames),
        "samples_per_label": {name: counts[name] for name in plan.actor.label_names},
    }
