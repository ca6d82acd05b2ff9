"""Filmstrips: small pictures of the frames that decided about a clip, side by side in one image."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from common.errors import ClipError
from common.remote_files import is_address
from common.sampling import evenly_spaced_indices
from pipeline.results import ClipResult
from pipeline.visualization.drawing import box
from pipeline.visualization.layout import color_of
from video.clips import clip_sha256, read_frames_at

HEIGHT = 120  # pixels
GAP = 4  # pixels between two pictures
MAX_PICTURE_WIDTH = 240  # pixels
ENCODINGS = ((6, 60), (6, 40), (4, 40), (3, 30), (2, 25), (1, 20))  # pictures and WebP quality, best first


@dataclass(frozen=True)
class Filmstrip:
    """Pictures of some frames of a clip.

    Attributes:
        data: A WebP image as base64; empty if there is none.
        width: In pixels.
        height: Likewise.
        seconds: When each of the frames is shown.
        note: Why there is no picture, or which frames are shown if no head was given any; empty otherwise.
    """

    data: str = ""
    width: int = 0
    height: int = 0
    seconds: tuple[float, ...] = ()
    note: str = ""


def make_filmstrip(result: ClipResult, taxonomy: Taxonomy, max_bytes: int) -> Filmstrip:
    """Read the frames that a clip's heads were given, and draw the boxes in them.

    Args:
        result: Of the clip; of any status.
        taxonomy: Actors, in the order of their colours.
        max_bytes: Of the image, before it is encoded as text.

    Returns:
        The strip; without an image if the clip could not be read, is not there any more, or was changed.
    """
    if result.status == "error":
        return Filmstrip()
    sampled = sorted({index for evidence in result.actors.values() for index in evidence.frames})
    nobody = "no actor is present: " if result.actors else ""
    note = "" if sampled else f"{nobody}frames at equal distances"
    candidates = sampled or range(result.frames)
    if is_address(result.path):
        return Filmstrip(note="no pictures: the clip is in a store")
    clip = Path(result.path)
    try:
        if not clip.exists():
            return Filmstrip(note="no pictures: the clip is not where it was any more")
        if clip_sha256(clip) != result.sha256:
            return Filmstrip(note="no pictures: the clip was changed after it was tagged")
        wanted = [candidates[index] for index in evenly_spaced_indices(len(candidates), ENCODINGS[0][0])]
        intact = result.frames if result.status == "ok" else None
        frames = read_frames_at(clip, wanted, intact_frames=intact)
    except (ClipError, OSError) as reason:
        return Filmstrip(note=f"no pictures: {reason}")
    pictures = [
        _draw(np.asarray(image), index, result, taxonomy) for image, index in zip(frames.images, wanted, strict=True)
    ]
    return _encode(pictures, frames.time_seconds, max_bytes, note)


def _draw(image: NDArray[np.uint8], frame_index: int, result: ClipResult, taxonomy: Taxonomy) -> NDArray[np.uint8]:
    """Reduce a frame, and draw the box of each actor whose head was given it."""
    import cv2

    height, width = image.shape[:2]
    scale = min(HEIGHT / height, MAX_PICTURE_WIDTH / width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    picture = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    for actor in taxonomy.actors:
        evidence = result.actors.get(actor.name)
        if evidence is None or frame_index not in evidence.frames or not evidence.boxes:
            continue
        corners = evidence.boxes[evidence.frames.index(frame_index)]
        if corners:
            box(picture, np.array(corners) * scale, actor.name, color_of(actor.index), 0.6)
    return picture


def _encode(
    pictures: Sequence[NDArray[np.uint8]], time_seconds: NDArray[np.float64], max_bytes: int, note: str
) -> Filmstrip:
    """Encode as many of the pictures, as well as the limit allows."""
    import cv2

    for count, quality in ENCODINGS:
        selected = evenly_spaced_indices(len(pictures), count)
        strip = _side_by_side([pictures[index] for index in selected])
        done, encoded = cv2.imencode(".webp", strip, [cv2.IMWRITE_WEBP_QUALITY, quality])
        if done and len(encoded) <= max_bytes:
            seconds = tuple(round(float(time_seconds[index]), 2) for index in selected)
            data = base64.b64encode(encoded.tobytes()).decode()
            return Filmstrip(data, strip.shape[1], strip.shape[0], seconds, note)
    return Filmstrip(note="no pictures: the page would become too large")


def _side_by_side(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Put pictures of any sizes next to each other, on grey."""
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + GAP * (len(pictures) - 1)
    strip = np.full((height, width, 3), 128, np.uint8)
    left = 0
    for picture in pictures:
        strip[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + GAP
    return strip
