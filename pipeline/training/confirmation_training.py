"""Training of the layers that confirm the detector's boxes, on a labelled data set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tabulate import tabulate

from a2d.dataset import clip_labels, read_samples
from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Actor, Taxonomy
from action_heads.confirmation import DIGEST_LENGTH, ConfirmationManifest, save_confirmation
from action_heads.input_kinds import CROP
from action_heads.model import Trunk
from action_heads.training.confirmation_fitting import (
    PARTS,
    FittedConfirmation,
    JudgedBoxes,
    assign_parts,
    fit_confirmation,
)
from action_heads.training.features import FeatureCache, compute_features
from action_heads.training.samples import SampledFrame, samples_showing
from common.errors import TrainingError
from common.files import sha256_file
from common.progress import Progress, no_progress
from common.remote_folders import AnyFolder
from pipeline.cached_detector import CachedDetector
from pipeline.training.training_frames import FrameSampler


@dataclass(frozen=True)
class ConfirmationPlan:
    """What the layers are fitted to.

    Attributes:
        data: The data set.
        split: Of it.
        trunk: The network whose features they take, one of those in the project.
        sample_every_seconds: How often a frame of a clip is judged while it shows the actor.
        out: The file to write.
        cache: Folder of cached features; None caches none.
        seed: Of the division of the data into parts.
        strict: Whether a clip that cannot be used is an error.
    """

    data: Path
    split: str
    trunk: Trunk
    sample_every_seconds: float
    out: Path
    cache: AnyFolder | None
    seed: int = 0
    strict: bool = False


@dataclass(frozen=True)
class ConfirmationReport:
    """The result.

    Attributes:
        out: The layers' file.
        fitted: The layers, and how well they judge.
        skipped: The clips that could not be used.
    """

    out: Path
    fitted: FittedConfirmation
    skipped: list[str]

    def table(self) -> str:
        """Format how well each actor's layer judges the clips of sources that it was not fitted to."""
        rows = [
            [
                name,
                row["clips_with"],
                f"{row['confirmed_with']:.1%}",
                row["clips_without"],
                f"{row['confirmed_without']:.1%}",
            ]
            for name, row in self.fitted.scores.items()
        ]
        headers = ["actor", "clips with it", "boxes confirmed", "clips without, but boxes", "boxes confirmed"]
        title = (
            f"{self.out} ({sha256_file(self.out)[:8]}), C {self.fitted.c:g}: shares of the boxes, on sources that a "
            "layer was not fitted to"
        )
        return title + "\n\n" + tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * 4))


def retrain_confirmation(
    plan: ConfirmationPlan, taxonomy: Taxonomy, detector: CachedDetector, progress: Progress = no_progress
) -> ConfirmationReport:
    """Fit the layers to the boxes that a detector draws in labelled clips, and write them.

    Args:
        plan: What to fit them to.
        taxonomy: Of the data set.
        detector: Draws the boxes, which nothing confirms yet.
        progress: Shows the progress of each step.

    Returns:
        The report.

    Raises:
        UserError: If the data set is invalid, or there are too few clips for every actor.
    """
    if detector.confirmer:
        detector = replace(detector, confirmer=None)
    if not plan.trunk.is_apart:
        raise TrainingError(f"the trunk {plan.trunk.source} is not one of the project's, which tagging needs")
    skipped = SkippedSamples(plan.strict)
    samples = _whole_clips(read_samples(plan.data, plan.split, taxonomy, skipped))
    sampler = FrameSampler(detector, CROP, plan.sample_every_seconds, skipped, progress)
    frames = {actor: list(_boxed(sampler.sample(actor, samples))) for actor in taxonomy.actors}
    clips = {sample.clip: index for index, sample in enumerate(samples)}
    boxes = {
        actor.name: _judged_boxes(actor, some, clips, plan, detector, progress)
        for actor, some in frames.items()
        if some
    }
    parts = assign_parts([sample.group for sample in samples], plan.seed)
    fitted = fit_confirmation(boxes, parts)
    digests = {clips[frame.sample.clip]: frame.clip_sha256 for some in frames.values() for frame in some}
    manifest = ConfirmationManifest(
        actors=fitted.actors,
        backbone=plan.trunk.backbone.name,
        trunk=plan.trunk.sha256,
        preprocessing=plan.trunk.preprocessing.to_dict(),
        part_of_clip={digests[index][:DIGEST_LENGTH]: int(parts[index]) for index in sorted(digests)},
        recipe={
            "name": "logistic_regression",
            "strength": fitted.c,
            "loss_by_strength": {f"{c:g}": loss for c, loss in fitted.loss_by_c.items()},
            "parts": PARTS,
            "seed": plan.seed,
        },
        data={
            "name": plan.data.name,
            "split": plan.split,
            "clips": len(samples),
            "sources": len({sample.group for sample in samples}),
            "boxes": {name: len(found.clip) for name, found in boxes.items()},
            "detector": {"name": detector.name, "sha256": detector.sha256},
            "image_size": detector.settings.image_size,
            "confidence": detector.settings.confidence,
            "every_seconds": plan.sample_every_seconds,
        },
        scores=fitted.scores,
    )
    save_confirmation(plan.out, fitted.layers, manifest)
    return ConfirmationReport(plan.out, fitted, skipped.reasons)


def _whole_clips(samples: Sequence[Sample]) -> list[Sample]:
    """Return one sample per clip, with the labels of all of its frames."""
    first = {sample.clip: sample for sample in reversed(samples)}
    return [replace(first[clip], frame_index=None, labels=labels) for clip, labels in clip_labels(samples).items()]


def _boxed(frames: Sequence[SampledFrame]) -> Iterator[SampledFrame]:
    """Yield the frames that have a box; a clip without any box of the actor was sampled throughout."""
    return (frame for frame in frames if not np.isnan(frame.box).any())


def _judged_boxes(
    actor: Actor,
    frames: Sequence[SampledFrame],
    clips: dict[Path, int],
    plan: ConfirmationPlan,
    detector: CachedDetector,
    progress: Progress,
) -> JudgedBoxes:
    cache = FeatureCache(plan.cache)
    features = compute_features(frames, plan.trunk, CROP, cache, detector.runtime, progress)
    showing = {id(sample) for sample in samples_showing(actor, [frame.sample for frame in frames])}
    return JudgedBoxes(
        features,
        np.array([clips[frame.sample.clip] for frame in frames], np.int64),
        np.array([id(frame.sample) in showing for frame in frames]),
    )
