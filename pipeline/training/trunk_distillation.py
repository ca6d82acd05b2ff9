"""Distillation of a ResNet-34 trunk from EfficientNet-Lite0, on images and on frames of clips."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from a2d.dataset import read_samples
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from action_heads.backbones import find_backbone
from action_heads.distillation.settings import DistillationSettings
from action_heads.distillation.teacher import Teacher
from action_heads.distillation.trainer import DistillationEpoch, DistillationImages, distil
from action_heads.model import load_trunk
from action_heads.trunk_files import EMBEDDED, TrunkManifest, save_trunk
from common.errors import CheckpointError, DatasetError, TrainingError
from common.progress import Progress, no_progress
from common.torch_files import load_torch_file
from common.training_run import TrainingRun
from inference.torch_engine import fast_bfloat16
from pipeline.training.work_folder import check_plan, extract_frames, hash_fraction, plan_to_dict, save_plan
from video.image_files import find_images, read_image

TEACHER, STUDENT = "efficientnet_lite0", "resnet34"
TRAIN_SPLIT = "train"
MIN_SIDE = 32  # pixels, of the student's input
LICENCE = "AGPL-3.0-only, as the project; taught by weights under Apache-2.0"


@dataclass(frozen=True)
class DistillationPlan:
    """What to train on, and how.

    Attributes:
        images: Folders of images, searched recursively, and labelled data sets (CSV), whose train split provides frames
            of clips.
        frames_per_clip: Number of evenly spaced frames per clip.
        settings: Hyperparameters.
        held_out: Fraction of the images that is held out for measuring.
        work: Folder for frames, checkpoint and log.
        out: The trunk's file.
        device: `cpu` or `cuda:N`.
        workers: Number of additional processes that read images.
        eight_bits: Whether to store the trunk's convolutions as 8-bit integers instead of in half precision.
    """

    images: tuple[Path, ...]
    frames_per_clip: int
    settings: DistillationSettings
    held_out: float
    work: Path
    out: Path
    device: str
    workers: int
    eight_bits: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what determines the result, as JSON represents it, to compare it with an interrupted training's."""
        content = plan_to_dict(self, without=("work", "out", "device", "workers", "eight_bits"))
        content["settings"] = json.loads(json.dumps(self.settings.to_dict()))
        return content


def distil_trunk(
    plan: DistillationPlan,
    taxonomy: Taxonomy,
    resume: bool = False,
    on_epoch: Callable[[DistillationEpoch], None] = lambda report: None,
    progress: Progress = no_progress,
    skipped: SkippedSamples | None = None,
) -> TrunkManifest:
    """Train a ResNet-34 and write its trunk.

    Args:
        plan: What to train on, and how.
        taxonomy: Of the data sets.
        resume: Whether to continue the training in `plan.work`.
        on_epoch: Called with the report of every epoch.
        progress: Shows the progress of the steps.
        skipped: Collects the clips and images that cannot be read; None raises an error for the first.

    Returns:
        The trunk's manifest.

    Raises:
        UserError: If an input is invalid, or `plan.work` contains another training.
    """
    check_plan(plan.work, plan.to_dict(), resume)
    skipped = SkippedSamples(strict=True) if skipped is None else skipped
    paths = collect_images(plan, taxonomy, progress, skipped)
    save_plan(plan.work, plan.to_dict())
    images = DistillationImages(
        train=[path for path in paths if hash_fraction(path.name) >= plan.held_out],
        held_out=[path for path in paths if hash_fraction(path.name) < plan.held_out],
    )
    teacher = _load_teacher(plan.settings)
    student = find_backbone(STUDENT)
    run = TrainingRun(
        plan.work,
        plan.device,
        fast_bfloat16(plan.device),
        on_epoch=on_epoch,
        progress=progress,
    )
    tensors = distil(images, teacher, student, plan.settings, run, plan.workers)
    settings = json.dumps(plan.settings.to_dict())
    source = f"taught by {TEACHER} ({teacher.trunk.sha256[:8]}) on {len(images.train)} images, {settings}"
    preprocessing = replace(student.preprocessing, size=plan.settings.size_in(plan.settings.epochs))
    manifest = TrunkManifest(STUDENT, preprocessing.to_dict(), source, LICENCE)
    save_trunk(plan.out, tensors, manifest, plan.eight_bits)
    return manifest


def collect_images(
    plan: DistillationPlan, taxonomy: Taxonomy, progress: Progress, skipped: SkippedSamples
) -> list[Path]:
    """Find the images, and extract frames of the clips into the work folder; in a fixed order.

    Raises:
        DatasetError: If a folder has no readable images.
    """
    images: list[Path] = []
    for path in plan.images:
        if path.is_dir():
            images += _readable_images(path, progress, skipped)
            continue
        samples = read_samples(path, TRAIN_SPLIT, taxonomy, skipped)
        for frames in extract_frames(plan.work, samples, plan.frames_per_clip, progress, skipped).values():
            images += frames
    if not images:
        raise DatasetError(f"no clip can be read; {skipped.reasons[0]}")
    return images


def _readable_images(folder: Path, progress: Progress, skipped: SkippedSamples) -> list[Path]:
    """Find the images that can be read: later, they are read in other processes, which cannot skip any."""
    images = []
    for path in progress(find_images(folder), "checking images", "image"):
        try:
            read_image(path)
        except DatasetError as reason:
            skipped.add("", reason)
        else:
            images.append(path)
    if not images:
        raise DatasetError(f"{folder}: none of the images can be read; {skipped.reasons[-1]}")
    return images


def _load_teacher(settings: DistillationSettings) -> Teacher:
    backbone = find_backbone(TEACHER)
    trunk = load_trunk(EMBEDDED, backbone)
    if not settings.logits_weight:
        return Teacher(trunk)
    weights = backbone.pretrained()
    state = weights.rename(load_torch_file(weights.path, CheckpointError))
    weight, bias = (state[key] for key in backbone.classifier_keys)
    return Teacher(trunk, weight, bias)


def parse_sizes(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Parse `SIDE:EPOCHS` pairs.

    Raises:
        TrainingError: If a pair is invalid.

    >>> parse_sizes(["112:20", "160:4"])
    ((112, 20), (160, 4))
    """
    sizes = []
    for text in texts:
        side, _, epochs = text.partition(":")
        if not (side.isdecimal() and epochs.isdecimal() and int(side) >= MIN_SIDE and int(epochs) >= 1):
            raise TrainingError(
                f"size {text!r} was given, SIDE:EPOCHS of at least {MIN_SIDE}:1 was expected, for example 112:20"
            )
        sizes.append((int(side), int(epochs)))
    return tuple(sizes)
