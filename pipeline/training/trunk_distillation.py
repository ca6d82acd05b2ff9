"""Teaching a trunk of one's own: images of folders and frames of clips, EfficientNet-Lite0 as the teacher."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from a2d.dataset import read_samples
from a2d.taxonomy import Taxonomy
from action_heads.backbones import find_backbone
from action_heads.distillation.trainer import DistillationEpoch, DistillationSettings, Teacher, distil
from action_heads.model import load_trunk
from action_heads.training.finetuning import fast_bfloat16
from action_heads.trunk_files import TrunkManifest, save_trunk
from common.errors import TrainingError
from pipeline.training.work_folder import check_work, claim_work, extract_frames, find_images, hash_fraction

TEACHER, STUDENT = "efficientnet_lite0", "resnet34"
TRAIN_SPLIT = "train"
LICENCE = "AGPL-3.0-only, as the project; taught by weights under Apache-2.0"

Progress = Callable[[Iterable[int], str], Iterable[int]]


@dataclass(frozen=True)
class DistillationPlan:
    """What to teach, and how.

    Attributes:
        images: Folders of images, looked into with all their subfolders, and labelled data sets (CSV), of which the
            train split's clips give frames.
        frames_per_clip: Evenly spaced.
        settings: Of the training.
        held_out: Share of the images that is kept for measuring.
        work: Folder for frames, checkpoint and log.
        out: The trunk's file.
        device: `cpu` or `cuda:N`.
        workers: Processes that read images beside this one.
        eight_bits: Keep the trunk's convolutions in 8 bits, not in half precision.
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
        """Give what decides the result, for comparing with what an interrupted training was started with."""
        content = asdict(self)
        for name in ("work", "out", "device", "workers", "eight_bits"):
            del content[name]
        return dict(json.loads(json.dumps(content, default=str)))


def distil_trunk(
    plan: DistillationPlan,
    taxonomy: Taxonomy,
    resume: bool = False,
    on_epoch: Callable[[DistillationEpoch], None] = lambda report: None,
    progress: Progress = lambda steps, what: steps,
) -> TrunkManifest:
    """Teach a ResNet-34 and write its trunk.

    Args:
        plan: What to do.
        taxonomy: Of the data sets.
        resume: Go on with the training in `plan.work`.
        on_epoch: Told after every epoch.
        progress: Wraps steps, for a progress bar.

    Returns:
        What the file says about itself.

    Raises:
        UserError: If an input is wrong, or `plan.work` holds another training.
    """
    check_work(plan.work, plan.to_dict(), resume)
    images = collect_images(plan, taxonomy, progress)
    claim_work(plan.work, plan.to_dict())
    held_out = [path for path in images if hash_fraction(path.name) < plan.held_out]
    learned = [path for path in images if hash_fraction(path.name) >= plan.held_out]
    teacher = _find_teacher(plan.settings)
    student = find_backbone(STUDENT)
    bf16 = fast_bfloat16(plan.device)
    tensors = distil(
        learned,
        held_out,
        teacher,
        student,
        plan.settings,
        plan.work,
        plan.device,
        bf16,
        plan.workers,
        on_epoch,
        progress,
    )
    settings = json.dumps(asdict(plan.settings))
    source = f"taught by {TEACHER} ({teacher.trunk.sha256[:8]}) on {len(learned)} images, {settings}"
    fed = replace(student.preprocessing, size=plan.settings.size_in(plan.settings.epochs))
    manifest = TrunkManifest(STUDENT, fed.to_dict(), source, LICENCE)
    save_trunk(plan.out, tensors, manifest, plan.eight_bits)
    return manifest


def collect_images(plan: DistillationPlan, taxonomy: Taxonomy, progress: Progress) -> list[Path]:
    """Find the images, and write the clips' frames into the work folder where they are not yet; in a fixed order.

    Raises:
        DatasetError: If a folder has no images.
    """
    images: list[Path] = []
    for place in plan.images:
        if place.is_dir():
            images += find_images(place)
            continue
        clips = sorted({sample.clip for sample in read_samples(place, TRAIN_SPLIT, taxonomy)})
        for number in progress(range(len(clips)), "frames of clips"):
            images += extract_frames(clips[number], plan.frames_per_clip, plan.work / "frames")
    return images


def _find_teacher(settings: DistillationSettings) -> Teacher:
    backbone = find_backbone(TEACHER)
    trunk = load_trunk("embedded", backbone)
    if not settings.logits_weight:
        return Teacher(trunk)
    weights = backbone.imagenet()
    state = weights.rename(torch.load(weights.path, map_location="cpu", weights_only=True))
    weight, bias = (state[key] for key in backbone.classifier_keys)
    return Teacher(trunk, weight, bias)


def parse_sizes(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Read `SIDE:EPOCHS` pairs.

    Raises:
        TrainingError: If one is none.

    >>> parse_sizes(["112:20", "160:4"])
    ((112, 20), (160, 4))
    """
    sizes = []
    for text in texts:
        side, _, epochs = text.partition(":")
        if not (side.isdecimal() and epochs.isdecimal() and int(side) >= 32 and int(epochs) >= 1):
            raise TrainingError(f"size {text!r} was given, SIDE:EPOCHS from 32:1 was expected, for example 112:20")
        sizes.append((int(side), int(epochs)))
    return tuple(sizes)
