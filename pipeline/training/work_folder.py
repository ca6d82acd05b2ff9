"""What long trainings have in common: whose the work folder is, and the images that they learn from."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from common.errors import DatasetError, TrainingError
from common.files import write_atomically
from common.sampling import evenly_spaced_indices
from video.clips import count_frames, read_frames_at

PLAN_FILE = "plan.json"
IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def check_work(work: Path, plan: Mapping[str, Any], resume: bool) -> None:
    """Make sure that a work folder is free, or holds this very training and the user wants to go on with it.

    Args:
        work: The folder, which exists.
        plan: What decides the training's result, as JSON gives it back.
        resume: Whether the user wants to go on.

    Raises:
        TrainingError: If it holds another training, or going on was not asked for, or there is nothing to go on with.
    """
    path = work / PLAN_FILE
    if path.is_file():
        if not resume:
            raise TrainingError(f"{work} holds a training already: --resume goes on with it, or choose another --work")
        before = json.loads(path.read_text(encoding="utf-8"))
        for name, value in plan.items():
            if before.get(name) != value:
                raise TrainingError(
                    f"{work} holds a training with {name} = {before.get(name)}, this one has {value}; "
                    "give the same, or choose another --work"
                )
    elif resume:
        raise TrainingError(f"{work}: no training to resume there")


def claim_work(work: Path, plan: Mapping[str, Any]) -> None:
    """Say in a work folder which training it holds; called once its inputs are read, so a wrong path claims nothing."""
    write_atomically(work / PLAN_FILE, json.dumps(plan, indent=1))


def find_images(folder: Path) -> list[Path]:
    """Find the images in a folder and all its subfolders, in a fixed order.

    Raises:
        DatasetError: If there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS)
    if not found:
        raise DatasetError(f"{folder}: no images there (wanted: {', '.join(sorted(IMAGE_ENDINGS))})")
    return found


def extract_frames(clip: Path, count: int, folder: Path) -> list[Path]:
    """Write evenly spaced frames of a clip as PNG files, or find them where they were written before."""
    listing = folder / f"{clip.stem}.{count}.json"
    if listing.is_file():
        return [folder / name for name in json.loads(listing.read_text())]
    folder.mkdir(parents=True, exist_ok=True)
    places = evenly_spaced_indices(count_frames(clip), count)
    paths = [folder / f"{clip.stem}_{place:05d}.png" for place in places]
    for path, image in zip(paths, read_frames_at(clip, places).images, strict=True):
        if not cv2.imwrite(str(path), image):
            raise OSError(f"{path}: cannot be written")
    write_atomically(listing, json.dumps([path.name for path in paths]))
    return paths


def hash_fraction(name: str) -> float:
    """Give a name a fixed number in [0, 1), by which some are held out whatever else there is."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
