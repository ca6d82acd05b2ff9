"""Training of an actor detector on unlabelled images and clips, with trained detectors as teachers."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tabulate import tabulate

from a2d.dataset import read_samples
from a2d.skipped_samples import SkippedSamples
from a2d.taxonomy import Taxonomy
from actor_detector.architecture import read_architecture
from actor_detector.detector_settings import DetectorSettings
from actor_detector.training.augmentation import TrainingView, augmented_view, sampling_probabilities
from actor_detector.training.box_lists import read_boxes, replace_boxes
from actor_detector.training.frozen_features import BATCH_SIZE
from actor_detector.training.initial_weights import load_initial_weights
from actor_detector.training.pseudo_labels import PseudoLabelledImage, label_images
from actor_detector.training.settings import Phase, StemPhase, TrainingSettings
from actor_detector.training.stem_distillation import FirstChildren, StemReport, teach_stem
from actor_detector.training.trainer import DetectorEpoch, train_detector
from actor_detector.weights import DetectorManifest, architecture_path, save_detector
from actor_detector.yolo import YoloActorDetector, build_network
from common.errors import DatasetError
from common.files import sha256_file, write_atomically
from common.progress import Progress, no_progress
from common.training_run import TrainingRun
from common.units import format_size
from inference.interfaces import Network, content_key
from inference.runtime import AUTO, BF16, F32, make_runtime
from inference.torch_engine import fast_bfloat16
from pipeline.training.work_folder import (
    FRAMES_FOLDER,
    check_plan,
    extract_frames,
    hash_fraction,
    plan_to_dict,
    save_plan,
)
from video.image_files import find_images

MIN_LABEL_CONFIDENCE = 0.25  # of a fused box, to be used as a label
TEACHER_CONFIDENCE = 0.1  # of a box in a single view; fusion removes most of the false ones


@dataclass(frozen=True)
class DetectorPlan:
    """What a detector is trained on, and how.

    Attributes:
        images: Folders of images, searched recursively.
        clips: A labelled data set from whose clips frames are extracted, see `a2d.dataset`; its labels are not used.
        split: Of those clips.
        frames_per_clip: Number of evenly spaced frames.
        boxes: Lists of known boxes, by actor name, see `actor_detector.training.box_lists`; they replace that actor's
            pseudo-labels in the images they name.
        teachers: Weights of trained detectors.
        teacher_image_size: Long side in pixels to which the teachers' images are letterboxed.
        architecture: An Ultralytics model YAML with a `TorchVision` backbone and an end-to-end head.
        start: The initial weights, see `actor_detector.training.initial_weights`.
        stem: How a stem is taught, if the model YAML has one that the initial weights have not; not if they are random.
        phases: Of the training.
        settings: Of the training.
        held_out: Share of the images and clips on which the detector is evaluated, in [0, 1].
        work: Folder for frames, labels, features and checkpoints, from which an interrupted training is resumed.
        out: The detector's file.
        device: `cpu` or `cuda:N`.
        workers: Number of additional processes that make the training views of a phase without frozen layers.
        trust_weights: Whether to unpickle teachers' `.pt` files even if that may run code.
    """

    images: tuple[Path, ...]
    clips: Path | None
    split: str
    frames_per_clip: int
    boxes: tuple[tuple[str, Path], ...]
    teachers: tuple[Path, ...]
    teacher_image_size: int
    architecture: Path
    start: str
    stem: StemPhase
    phases: tuple[Phase, ...]
    settings: TrainingSettings
    held_out: float
    work: Path
    out: Path
    device: str
    workers: int = 0
    trust_weights: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what determines the result, for comparison with the plan of an interrupted training."""
        return plan_to_dict(self, without=("work", "out", "device", "workers", "trust_weights"))


@dataclass(frozen=True)
class DetectorReport:
    """The result of a training.

    Attributes:
        out: The detector's file.
        manifest: Its manifest.
    """

    out: Path
    manifest: DetectorManifest

    def table(self) -> str:
        """Format the F1 of each actor on the held-out images, against the pseudo-labels."""
        scores = self.manifest.scores
        rows = [
            [name, self.manifest.data["boxes"][name], f"{100 * f1:.1f}"]
            for name, f1 in zip(self.manifest.class_names, scores["presence_f1"], strict=True)
        ]
        rows.append(["mean", "", f"{100 * scores['macro_f1']:.1f}"])
        title = (
            f"{self.out} ({sha256_file(self.out)[:8]}, {format_size(self.out.stat().st_size)}): actors present in an "
            f"image, on {scores['images']} held-out images, against the teachers' labels, at confidence "
            f"{scores['confidence']}"
        )
        return title + "\n\n" + tabulate(rows, ["class", "training boxes", "F1 (%)"], disable_numparse=True)


def retrain_detector(
    plan: DetectorPlan,
    taxonomy: Taxonomy,
    resume: bool = False,
    on_epoch: Callable[[DetectorEpoch | StemReport], None] = lambda report: None,
    progress: Progress = no_progress,
    skipped: SkippedSamples | None = None,
) -> DetectorReport:
    """Label the images with the teachers, train a detector on them, and write it.

    Args:
        plan: What to train on, and how.
        taxonomy: Defines the actors.
        resume: Continue the training in `plan.work`.
        on_epoch: Called with the report of every epoch, and of every part of the stem's training.
        progress: Shows the progress of each step.
        skipped: Collects the clips and images that cannot be read; None raises an error for the first.

    Returns:
        The result.

    Raises:
        UserError: If an input is wrong, or `plan.work` contains another training.
    """
    check_plan(plan.work, plan.to_dict(), resume)
    skipped = SkippedSamples(strict=True) if skipped is None else skipped
    group_of = collect_images(plan, taxonomy, progress, skipped)
    known = read_known_boxes(plan, taxonomy, group_of)
    save_plan(plan.work, plan.to_dict())
    run = TrainingRun(
        plan.work,
        plan.device,
        fast_bfloat16(plan.device),
        workers=plan.workers,
        on_epoch=on_epoch,
        progress=progress,
    )
    labelled = _label(plan, taxonomy, list(group_of), run, skipped)
    for actor_index, boxes in known:
        labelled = replace_boxes(labelled, boxes, actor_index)
    training, held_out = _split(labelled, group_of, plan.held_out)
    class_names = [actor.detector_classes[0] for actor in taxonomy.actors]
    torch.manual_seed(plan.settings.seed)
    network = build_network(plan.architecture, class_names, sum(phase.epochs for phase in plan.phases))
    start = load_initial_weights(plan.start, network)
    is_stem_new = _teach_stem(plan, network, training, len(class_names), run)
    average = train_detector(network, training, held_out, plan.phases, plan.settings, run)
    manifest = _make_manifest(plan, class_names, start, training, held_out, is_stem_new)
    save_detector(plan.out, average.state_dict(), manifest)
    saved_architecture = architecture_path(plan.out)
    if saved_architecture.resolve() != plan.architecture.resolve():
        write_atomically(saved_architecture, plan.architecture.read_bytes())
    return DetectorReport(plan.out, manifest)


def collect_images(
    plan: DetectorPlan, taxonomy: Taxonomy, progress: Progress, skipped: SkippedSamples
) -> dict[Path, str]:
    """Find the images, and extract the clips' frames into the work folder.

    Returns:
        For each image the group with which it is held out: an image's own name, a clip's `group`.

    Raises:
        DatasetError: If a folder has no images, or two images have the same name.
    """
    group_of = {path: path.name for folder in plan.images for path in find_images(folder)}
    samples = read_samples(plan.clips, plan.split, taxonomy, skipped) if plan.clips else []
    clip_groups = {sample.clip: sample.group for sample in samples}
    for clip, frames in extract_frames(plan.work, samples, plan.frames_per_clip, progress, skipped).items():
        group_of |= dict.fromkeys(frames, clip_groups[clip])
    names: dict[str, Path] = {}
    for path in group_of:
        if path.name in names:
            raise DatasetError(f"{path} and {names[path.name]} have the same name; rename one")
        names[path.name] = path
    return group_of


def read_known_boxes(
    plan: DetectorPlan, taxonomy: Taxonomy, images: Collection[Path]
) -> list[tuple[int, dict[Path, NDArray[np.float32]]]]:
    """Read the lists of known boxes.

    Args:
        plan: Names the lists.
        taxonomy: Defines the actors.
        images: All images to train on.

    Returns:
        For each list the actor's index in the taxonomy, and its boxes, see `read_boxes`.

    Raises:
        UserError: If a list is malformed, names an unknown actor, or none of its images is trained on.
    """
    resolved = {path.resolve() for path in images}
    known = []
    for actor_name, path in plan.boxes:
        boxes = read_boxes(path)
        if not resolved.intersection(boxes):
            raise DatasetError(f"{path}: none of the {len(boxes)} images that it names is among those to train on")
        known.append((taxonomy.actor(actor_name).index, boxes))
    return known


def _label(
    plan: DetectorPlan, taxonomy: Taxonomy, images: Sequence[Path], run: TrainingRun, skipped: SkippedSamples
) -> list[PseudoLabelledImage]:
    """Label images with the teachers, and drop the boxes that are not confident enough."""
    settings = DetectorSettings(plan.teacher_image_size, TEACHER_CONFIDENCE)
    runtime = make_runtime(AUTO, BF16 if run.bf16 else F32, plan.device, cache=None)
    teachers = [
        YoloActorDetector(path, taxonomy, settings, runtime, trust_weights=plan.trust_weights) for path in plan.teachers
    ]
    labelled = label_images(images, teachers, plan.work / "labels.jsonl", run.progress, skipped)
    if not labelled:
        raise DatasetError("no image can be read; " + (skipped.reasons[0] if skipped.reasons else "there is none"))
    return [image.at_confidence(MIN_LABEL_CONFIDENCE) for image in labelled]


def _split(
    images: Sequence[PseudoLabelledImage], group_of: Mapping[Path, str], held_out: float
) -> tuple[list[PseudoLabelledImage], list[PseudoLabelledImage]]:
    """Split images into training and held-out images, by group."""
    is_held_out = {group: hash_fraction(group) < held_out for group in group_of.values()}
    return (
        [image for image in images if not is_held_out[group_of[image.path]]],
        [image for image in images if is_held_out[group_of[image.path]]],
    )


def _teach_stem(
    plan: DetectorPlan, network: Any, images: Sequence[PseudoLabelledImage], actors: int, run: TrainingRun
) -> bool:
    """Teach the stem of the model YAML what the initial weights have in its place; return whether there is need to."""
    stem = read_architecture(plan.architecture).get("stem")
    if stem is None or plan.start == "random" or stem == _stem_of(plan.start):
        return False
    build = partial(FirstChildren, plan.start, stem["children"])
    key = content_key("first children", plan.start, stem["children"])
    side = plan.stem.view_size
    runtime = make_runtime(AUTO, AUTO, plan.device, cache=None)
    teacher = runtime.engine(Network(key, build), (side, side), BATCH_SIZE)
    probabilities, settings = sampling_probabilities(images, actors), plan.settings

    def make_view(number: int) -> TrainingView:
        seed = settings.seed + len(plan.phases)  # each phase has a seed of its own
        return augmented_view(images, probabilities, settings.image_size, side, seed, number)

    teach_stem(network.model[0].m[0], teacher, make_view, plan.stem, run)
    return True


def _stem_of(start: str) -> dict[str, Any] | None:
    """Return the stem that the initial weights contain, if any."""
    path = architecture_path(Path(start))
    return read_architecture(path).get("stem") if path.is_file() else None


def _make_manifest(
    plan: DetectorPlan,
    class_names: Sequence[str],
    start: str,
    training: Sequence[PseudoLabelledImage],
    held_out: Sequence[PseudoLabelledImage],
    is_stem_new: bool,
) -> DetectorManifest:
    """Describe a trained detector; the scores are those of the last epoch in the training's log."""
    last_epoch = json.loads((plan.work / "epochs.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return DetectorManifest(
        class_names=tuple(class_names),
        architecture=sha256_file(plan.architecture),
        image_size=plan.settings.image_size,
        start=start,
        teachers=tuple({"name": path.stem, "sha256": sha256_file(path)} for path in plan.teachers),
        data={
            "images": len(training),
            "of_clips": sum(image.path.parent == plan.work / FRAMES_FOLDER for image in training),
            "boxes": dict(zip(class_names, _count_boxes(training, len(class_names)), strict=True)),
            "known_boxes": {actor: sha256_file(path) for actor, path in plan.boxes},
        },
        training={
            "settings": asdict(plan.settings),
            **({"stem": asdict(plan.stem)} if is_stem_new else {}),
            "phases": [asdict(phase) for phase in plan.phases],
        },
        scores={
            "images": len(held_out),
            **{name: last_epoch[name] for name in ("confidence", "presence_f1", "macro_f1")},
        },
    )


def _count_boxes(images: Sequence[PseudoLabelledImage], actors: int) -> list[int]:
    counts = sum((np.bincount(image.actor_index, minlength=actors) for image in images), np.zeros(actors, np.int64))
    return [int(count) for count in counts]
