"""The work folder of a training that can be resumed: its plan, and the frames extracted from clips."""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2d.formats.base import Sample
from a2d.skipped_samples import SkippedSamples
from common.errors import ClipError, TrainingError
from common.files import write_atomically
from common.progress import Progress, no_progress
from common.sampling import evenly_spaced_indices
from video.clips import count_frames, read_frames_at

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PLAN_FILE = "plan.json"
FRAMES_FOLDER = "frames"


def plan_to_dict(plan: "DataclassInstance", without: Collection[str]) -> dict[str, Any]:
    """Convert a training's plan to what JSON can represent.

    Args:
        plan: The plan, a dataclass.
        without: Names of fields that do not determine the training's result.
    """
    content = {name: value for name, value in dataclasses.asdict(plan).items() if name not in without}
    return dict(json.loads(json.dumps(content, default=str)))


def check_plan(work: Path, plan: Mapping[str, Any], resume: bool) -> None:
    """Check that a work folder is empty, or contains a training with the same plan that the user wants to resume.

    Args:
        work: The folder, which exists.
        plan: What determines the training's result, as JSON represents it.
        resume: Whether the user wants to resume a training.

    Raises:
        TrainingError: If it contains a training that cannot or should not be resumed, or none although one should be.
    """
    path = work / PLAN_FILE
    if path.is_file():
        if not resume:
            raise TrainingError(f"{work} holds a training already: continue it with --resume, or choose another --work")
        saved = json.loads(path.read_text(encoding="utf-8"))
        for name, value in plan.items():
            if saved.get(name) != value:
                raise TrainingError(
                    f"{work} holds a training with {name} = {saved.get(name)}, but {value} was given; "
                    "give the same value, or choose another --work"
                )
    elif resume:
        raise TrainingError(f"{work}: no training to resume there")


def save_plan(work: Path, plan: Mapping[str, Any]) -> None:
    """Save a training's plan in its work folder, once its inputs were read: after a wrong path, the folder is free."""
    write_atomically(work / PLAN_FILE, json.dumps(plan, indent=1))


def extract_frames(
    work: Path,
    samples: Iterable[Sample],
    frames_per_clip: int,
    progress: Progress = no_progress,
    skipped: SkippedSamples | None = None,
) -> dict[Path, list[Path]]:
    """Write evenly spaced frames of clips as PNG files into the work folder, unless they were written before.

    Args:
        work: The work folder.
        samples: Whose clips to read.
        frames_per_clip: Number of frames per clip.
        progress: Shows the progress.
        skipped: Collects the clips that cannot be read; None raises an error for the first.

    Returns:
        The frames' files by clip, in the order of the sorted clips.

    Raises:
        DatasetError: If a clip cannot be read and `skipped` is None or strict.
    """
    skipped = SkippedSamples(strict=True) if skipped is None else skipped
    where = {sample.clip: sample.where for sample in samples}
    clips_with = Counter(clip.stem for clip in where)
    frames = {}
    for clip in progress(sorted(where), "extracting frames", "clip"):
        # Two clips of one name in different folders must not share their frames.
        name = clip.stem if clips_with[clip.stem] == 1 else f"{clip.stem}-{hash_name(str(clip)):08x}"
        try:
            frames[clip] = _extract_clip(clip, name, frames_per_clip, work / FRAMES_FOLDER)
        except ClipError as reason:
            skipped.add(where[clip], reason)
    return frames


def _extract_clip(clip: Path, name: str, count: int, folder: Path) -> list[Path]:
    listing = folder / f"{name}.{count}.json"
    if listing.is_file():
        return [folder / name for name in json.loads(listing.read_text())]
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    indices = evenly_spaced_indices(count_frames(clip), count)
    paths = [folder / f"{name}_{index:05d}.png" for index in indices]
    for path, image in zip(paths, read_frames_at(clip, indices).images, strict=True):
        if not cv2.imwrite(str(path), image):
            raise OSError(f"{path}: cannot be written")
    write_atomically(listing, json.dumps([path.name for path in paths]))
    return paths


def hash_fraction(name: str) -> float:
    """Map a name to a fixed number in [0, 1), by which it is held out or not, independently of all other names."""
    return hash_name(name) / 2**32


def hash_name(name: str) -> int:
    """Map a name to a fixed number of 32 bits."""
    return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:4], "big")
