"""Retraining of one head: only its own file changes, and the hashes before and after show it."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate
from torch import nn

from a2d.dataset import find_held_out_split, read_samples
from a2d.taxonomy import Actor, Taxonomy
from action_heads.checkpoint import HeadManifest, hash_heads, head_path, save_head
from action_heads.crops import BOTH, MOVING
from action_heads.label_decision import LABEL_THRESHOLD
from action_heads.model import Trunk, start_from
from action_heads.preprocessing import Preprocessing
from action_heads.training.features import FeatureCache
from action_heads.training.finetuning import FinetuningEpoch, predict_frames, score_frames, train_head
from action_heads.training.linear_probe import AuxiliaryFeatures, LabelledFeatures, LinearProbe, fit_linear_probe
from action_heads.training.recipes import AUXILIARY_WEIGHT, PAPER, Recipe
from action_heads.training.samples import (
    ClipProgress,
    LabelledFrames,
    SampledFrame,
    read_labelled_frames,
    samples_showing,
    target_matrix,
)
from action_heads.trunk_files import EMBEDDED
from action_heads.tuning_modes import CLASSIFIER
from common.errors import TrainingError
from pipeline.cached_detector import CachedDetector
from pipeline.training.head_features import FeatureSource, SampleProgress, auxiliary_features
from pipeline.training.training_frames import sample_training_frames

EpochProgress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class Progress:
    """What shows how far a retraining is; by default nothing does.

    Attributes:
        samples: Wraps the samples that stage 1 looks at.
        clips: Wraps the clips that are decoded.
        epochs: Wraps the numbers of the epochs.
    """

    samples: SampleProgress = lambda samples: samples
    clips: ClipProgress = lambda clips: clips
    epochs: EpochProgress = lambda epochs: epochs


@dataclass(frozen=True)
class RetrainingPlan:
    """What to train, on what and how.

    Attributes:
        actor: Whose head.
        data: A labelled data set, see `a2d.dataset`.
        split: What to train on.
        held_out: Split to report scores on beside; None takes `val` or `test`. It chooses nothing.
        out: Folder of heads.
        trunk: The weights to start from.
        tuning: How much of them may move, one of `action_heads.tuning_modes.TUNING_MODES`.
        input: What the head is shown, one of `action_heads.crops.INPUT_KINDS`.
        recipe: How to train; `classifier` does without.
        look_every: How often a clip is looked at whose labels hold for all of it, in seconds.
        seed: Of everything random.
        device: `cpu` or `cuda:N`.
        cache: Folder of kept features; None keeps none.
        lent_weight: How much a clip of an actor that this one borrows from counts beside an own one, for tuning
            `classifier`; 0 borrows nothing.
    """

    actor: Actor
    data: Path
    split: str
    held_out: str | None
    out: Path
    trunk: Trunk
    tuning: str
    input: str
    recipe: Recipe
    look_every: float
    seed: int
    device: str
    cache: Path | None
    lent_weight: float = AUXILIARY_WEIGHT

    @property
    def preprocessing(self) -> Preprocessing:
        """How the head is fed."""
        return self.trunk.preprocessing

    def describe(self) -> str:
        """Say in one line what will be trained from what."""
        start = f"trunk {self.trunk.source} ({self.trunk.sha256[:8]})"
        if self.trunk.source == "random":
            start += ": it has learned nothing before, so expect weak scores from few clips"
            if self.recipe == PAPER:
                start += " (the published heads started from --trunk imagenet)"
        how = "" if self.tuning == CLASSIFIER else f", recipe {self.recipe.name}"
        return (
            f"training the {self.actor.name} head, {self.trunk.backbone.name}, input {self.input}, tuning {self.tuning}"
            f"{how}, on {self.device}, {start}"
        )


@dataclass(frozen=True)
class RetrainingReport:
    """What a retraining did.

    Attributes:
        manifest: Of the new head.
        before: SHA-256 of every head in the folder before, by actor.
        after: And after.
    """

    manifest: HeadManifest
    before: Mapping[str, str]
    after: Mapping[str, str]

    def table(self) -> str:
        """Show which heads changed, and the new head's scores."""
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
class _Trained:
    """A head as it comes out of its training.

    Attributes:
        network: It.
        recipe: What made it, for its manifest.
        scores: By split.
    """

    network: nn.Module
    recipe: dict[str, Any]
    scores: dict[str, Any]


def retrain_head(
    plan: RetrainingPlan, taxonomy: Taxonomy, detector: CachedDetector, progress: Progress | None = None
) -> RetrainingReport:
    """Train one actor's head and put it into its folder.

    A training by epochs leaves its log beside the head as `<actor>.jsonl`.

    Args:
        plan: What to do.
        taxonomy: What the data set's labels mean.
        detector: Stage 1, which says where the actor is.
        progress: Shows how far it is.

    Returns:
        The report.

    Raises:
        UserError: If the data set is wrong, has nothing of this actor, or training fails.
    """
    progress = progress or Progress()
    if plan.input in (BOTH, MOVING) and (plan.tuning != CLASSIFIER or plan.trunk.source != EMBEDDED):
        raise TrainingError(
            "input both needs --tune classifier and the embedded trunk: give one of them, or crop or frame"
        )
    held_out = find_held_out_split(plan.data, plan.split, plan.held_out)
    looks = {}
    samples = {split: read_samples(plan.data, split, taxonomy) for split in filter(None, (plan.split, held_out))}
    for split, found in samples.items():
        own = samples_showing(plan.actor, found)
        if not own and split == plan.split:
            raise TrainingError(f"{plan.data}: no sample of split {plan.split!r} shows the actor {plan.actor.name!r}")
        looks[split] = sample_training_frames(own, plan.actor, detector, plan.input, plan.look_every, progress.samples)
    before = hash_heads(plan.out)
    if plan.tuning == CLASSIFIER:
        source = FeatureSource(plan.trunk, plan.input, FeatureCache(plan.cache), plan.device, progress.clips)
        lenders = [taxonomy.actor(name) for name in plan.actor.borrows_from]
        lent = auxiliary_features(
            plan.actor,
            lenders,
            samples[plan.split],
            detector,
            plan.look_every,
            source,
            plan.lent_weight,
            progress.samples,
        )
        trained = _fit_classifier(plan, looks, source, lent)
    else:
        trained = _train_by_epochs(plan, looks, progress)
    manifest = HeadManifest(
        actor=plan.actor.name,
        labels=plan.actor.label_names,
        backbone=plan.trunk.backbone.name,
        tuned=plan.tuning,
        input=plan.input,
        preprocessing=plan.preprocessing.to_dict(),
        trunk={"source": plan.trunk.source, "sha256": plan.trunk.sha256},
        recipe=trained.recipe,
        data=_summarise(plan, looks[plan.split]),
        seed=plan.seed,
        scores=trained.scores,
    )
    save_head(head_path(plan.out, plan.actor.name), trained.network, manifest)
    return RetrainingReport(manifest, before, hash_heads(plan.out))


def _fit_classifier(
    plan: RetrainingPlan,
    looks: Mapping[str, Sequence[SampledFrame]],
    source: FeatureSource,
    lent: AuxiliaryFeatures | None,
) -> _Trained:
    features = {
        split: source.label(own, target_matrix(plan.actor, [look.sample for look in own]))
        for split, own in looks.items()
    }
    layer = fit_linear_probe(features[plan.split], lent)
    network = plan.trunk.backbone.build_head(len(plan.actor.labels), plan.input)
    start_from(network, plan.trunk)
    layer.put_into(network, plan.trunk.backbone.classifier)
    scores = {split: _score_layer(layer, own) for split, own in features.items() if len(own)}
    recipe = layer.recipe()
    if lent:
        lent_samples = len(set(lent.features.sample.tolist()))
        recipe["borrowed"] = {"from": plan.actor.borrows_from, "samples": lent_samples, "weight": lent.weight}
    return _Trained(network.eval(), recipe, scores)


def _train_by_epochs(plan: RetrainingPlan, looks: Mapping[str, Sequence[SampledFrame]], progress: Progress) -> _Trained:
    # What is augmented is kept a little larger than the input; what is only scored is kept as prediction would see it.
    augmented = plan.preprocessing.stored_size if plan.recipe.augment else plan.preprocessing.size
    frames = {
        split: read_labelled_frames(
            plan.actor, own, plan.input, augmented if split == plan.split else plan.preprocessing.size, progress.clips
        )
        for split, own in looks.items()
    }
    log = _EpochLog(plan.out / f"{plan.actor.name}.jsonl")
    network = train_head(
        frames[plan.split],
        plan.trunk,
        plan.recipe,
        plan.preprocessing,
        plan.seed,
        plan.device,
        plan.tuning,
        log,
        progress.epochs,
    )
    log.finish()
    scores = {split: _score_network(network, own, plan) for split, own in frames.items() if len(own)}
    return _Trained(network, asdict(plan.recipe), scores)


class _EpochLog:
    """Writes one JSON line an epoch; an earlier training's log is replaced when this one is done, not before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.growing = path.with_suffix(".jsonl.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.growing.write_text("")

    def __call__(self, report: FinetuningEpoch) -> None:
        with self.growing.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(report)) + "\n")

    def finish(self) -> None:
        """Put the log beside its head."""
        self.growing.replace(self.path)


def _score_layer(layer: LinearProbe, features: LabelledFeatures) -> dict[str, Any]:
    scores = score_frames(layer.probabilities(features.values[:, 0]), features.targets, LABEL_THRESHOLD)
    return {"images": len(features)} | scores.to_dict()


def _score_network(network: nn.Module, frames: LabelledFrames, plan: RetrainingPlan) -> dict[str, Any]:
    probabilities = predict_frames(network, frames, plan.preprocessing, plan.device)
    scores = score_frames(probabilities, frames.targets, LABEL_THRESHOLD)
    return {"images": len(frames)} | scores.to_dict()


def _summarise(plan: RetrainingPlan, looks: Sequence[SampledFrame]) -> dict[str, Any]:
    """Say what a head has seen; the data's own path stays out of the file."""
    own = list({id(look.sample): look.sample for look in looks}.values())
    counts = Counter(name for sample in own for name in sample.labels if name in plan.actor.label_names)
    return {
        "name": plan.data.name,
        "split": plan.split,
        "samples": len(own),
        "sources": len({sample.group for sample in own}),
        "images": len(looks),
        "samples_per_label": {name: counts[name] for name in plan.actor.label_names},
    }
