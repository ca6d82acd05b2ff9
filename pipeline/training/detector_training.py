"""Teaching an actor detector of one's own from unlabelled images and clips, and from trained detectors as teachers."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from a2d.dataset import read_samples
from a2d.taxonomy import Taxonomy
from action_heads.training.finetuning import fast_bfloat16
from actor_detector.training.initial_weights import load_initial_weights
from actor_detector.training.pseudo_labels import PseudoLabelledImage, label_images
from actor_detector.training.trainer import DetectorEpoch, Phase, TrainingSettings, train_detector
from actor_detector.weights import DetectorManifest, save_detector
from actor_detector.yolo import YoloActorDetector, build_network
from common.errors import DatasetError
from common.files import sha256_file, write_atomically
from inference.runtime import BF16, F32, Runtime
from pipeline.training.work_folder import check_work, claim_work, extract_frames, find_images, hash_fraction

TRUSTED_FROM = 0.25  # fused confidence from which a teacher's box is taught
TEACHER_CONFIDENCE = 0.1  # of single views; fusing sorts out the rest

Progress = Callable[[Iterable[int], str], Iterable[int]]


@dataclass(frozen=True)
class DetectorPlan:
    """What to teach, from what and how.

    Attributes:
        images: Folders of images, looked into with all their subfolders.
        clips: A labelled data set whose clips give frames too, see `a2d.dataset`; its labels are not used.
        split: Of those clips.
        frames_per_clip: Evenly spaced.
        teachers: Weights of trained detectors.
        teacher_image_size: Long side in pixels of what they see.
        architecture: An Ultralytics model YAML with a `TorchVision` backbone and an end-to-end head.
        start: What to start from, see `actor_detector.training.initial_weights`.
        phases: Of the training.
        settings: Of the training.
        held_out: Share of the sources that is kept for measuring.
        work: Folder for frames, labels, features and checkpoints; a training that was stopped goes on from it.
        out: The detector's file.
        device: `cpu` or `cuda:N`.
    """

    images: tuple[Path, ...]
    clips: Path | None
    split: str
    frames_per_clip: int
    teachers: tuple[Path, ...]
    teacher_image_size: int
    architecture: Path
    start: str
    phases: tuple[Phase, ...]
    settings: TrainingSettings
    held_out: float
    work: Path
    out: Path
    device: str

    def to_dict(self) -> dict[str, Any]:
        """Give what decides the result, for comparing with what an interrupted training was started with."""
        content = asdict(self)
        for name in ("work", "out", "device"):
            del content[name]
        return dict(json.loads(json.dumps(content, default=str)))


@dataclass(frozen=True)
class DetectorReport:
    """What a training made.

    Attributes:
        out: The file.
        manifest: What it says about itself.
    """

    out: Path
    manifest: DetectorManifest

    def table(self) -> str:
        """Show how well it finds each actor in held-out images, against its teachers."""
        scores = self.manifest.scores
        rows = [
            [name, self.manifest.data["boxes"][name], f"{100 * f1:.1f}"]
            for name, f1 in zip(self.manifest.class_names, scores["presence_f1"], strict=True)
        ]
        rows.append(["mean", "", f"{100 * scores['macro_f1']:.1f}"])
        title = (
            f"{self.out} ({sha256_file(self.out)[:8]}, {self.out.stat().st_size / 1e6:.1f} MB): which actors are "
            f"in an image, on {scores['images']} held-out images, against the teachers, from confidence "
            f"{scores['confidence']} on"
        )
        return title + "\n\n" + tabulate(rows, ["class", "boxes learned", "F1 (%)"], disable_numparse=True)


def retrain_detector(
    plan: DetectorPlan,
    taxonomy: Taxonomy,
    resume: bool = False,
    on_epoch: Callable[[DetectorEpoch], None] = lambda report: None,
    progress: Progress = lambda steps, what: steps,
) -> DetectorReport:
    """Label the images with the teachers, train, and write the detector.

    Args:
        plan: What to do.
        taxonomy: Whose actors to find.
        resume: Go on with the training in `plan.work`.
        on_epoch: Told after every epoch.
        progress: Wraps steps, for a progress bar.

    Returns:
        The report.

    Raises:
        UserError: If an input is wrong, or `plan.work` holds another training.
    """
    check_work(plan.work, plan.to_dict(), resume)
    images = collect_images(plan, taxonomy, progress)
    claim_work(plan.work, plan.to_dict())
    bf16 = fast_bfloat16(plan.device)
    teachers = [
        YoloActorDetector(
            path,
            taxonomy,
            plan.teacher_image_size,
            TEACHER_CONFIDENCE,
            Runtime(device=plan.device, precision=BF16 if bf16 else F32),
        )
        for path in plan.teachers
    ]
    labelled = label_images(
        list(images), teachers, plan.work / "labels.jsonl", progress=lambda starts: progress(starts, "labelling")
    )
    trusted = [_trust(image) for image in labelled]
    unseen = {group for group in images.values() if hash_fraction(group) < plan.held_out}
    learned = [image for image in trusted if images[image.path] not in unseen]
    measured = [image for image in trusted if images[image.path] in unseen]
    class_names = [actor.detector_classes[0] for actor in taxonomy.actors]
    torch.manual_seed(plan.settings.seed)
    network = build_network(plan.architecture, class_names, sum(phase.epochs for phase in plan.phases))
    start = load_initial_weights(plan.start, network)
    reports: list[DetectorEpoch] = []

    def remember(report: DetectorEpoch) -> None:
        reports.append(report)
        on_epoch(report)

    average = train_detector(
        network, learned, measured, plan.phases, plan.settings, plan.work, plan.device, bf16, remember, progress
    )
    last = json.loads((plan.work / "epochs.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    manifest = DetectorManifest(
        class_names=tuple(class_names),
        architecture=sha256_file(plan.architecture),
        image_size=plan.settings.image_size,
        start=start,
        teachers=tuple({"name": path.stem, "sha256": sha256_file(path)} for path in plan.teachers),
        data={
            "images": len(learned),
            "of_clips": sum(image.path.parent == plan.work / "frames" for image in learned),
            "boxes": dict(zip(class_names, _count_boxes(learned, len(class_names)), strict=True)),
        },
        training={"settings": asdict(plan.settings), "phases": [asdict(phase) for phase in plan.phases]},
        scores={
            "images": len(measured),
            **{name: last[name] for name in ("confidence", "presence_f1", "macro_f1")},
        },
    )
    save_detector(plan.out, average.state_dict(), manifest)
    own_yaml = plan.out.with_suffix(".yaml")
    if own_yaml.resolve() != plan.architecture.resolve():
        write_atomically(own_yaml, plan.architecture.read_bytes())
    return DetectorReport(plan.out, manifest)


def collect_images(plan: DetectorPlan, taxonomy: Taxonomy, progress: Progress) -> dict[Path, str]:
    """Find the images, and write the clips' frames into the work folder where they are not yet.

    Returns:
        For each image the source that it comes from: an image's own name, a clip's `group`.

    Raises:
        DatasetError: If a folder has no images, or two images have the same name.
    """
    groups: dict[Path, str] = {}
    for folder in plan.images:
        groups |= {path: path.name for path in find_images(folder)}
    samples = read_samples(plan.clips, plan.split, taxonomy) if plan.clips else []
    group_of = {sample.clip: sample.group for sample in samples}
    clips = sorted(group_of)
    for place in progress(range(len(clips)), "frames of clips"):
        for path in extract_frames(clips[place], plan.frames_per_clip, plan.work / "frames"):
            groups[path] = group_of[clips[place]]
    names: dict[str, Path] = {}
    for path in groups:
        if path.name in names:
            raise DatasetError(f"{path} and {names[path.name]} have the same name; rename one")
        names[path.name] = path
    return groups


def _trust(image: PseudoLabelledImage) -> PseudoLabelledImage:
    kept = image.confidence >= TRUSTED_FROM
    return PseudoLabelledImage(image.path, image.boxes[kept], image.confidence[kept], image.actor_index[kept])


def _count_boxes(images: Sequence[PseudoLabelledImage], actors: int) -> list[int]:
    counts = sum((np.bincount(image.actor_index, minlength=actors) for image in images), np.zeros(actors, np.int64))
    return [int(count) for count in counts]
