"""A clip with what was found drawn into it: every box, and below the picture the verdict with its reasons."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from actor_detector.detections import ClipDetections
from common.errors import TruncatedClipError
from pipeline.results import ActorEvidence, ClipResult
from pipeline.visualization.drawing import Color, box, chip, chip_width, rectangle, text, text_width
from video.clips import FrameBatch, read_frames
from video.frames import ASSUMED_FPS
from video.writer import video_writer

LEAST_LINES = 480  # smaller clips are enlarged, so that the writing can be read
BATCH = 4  # frames held at a time

# By the actor's place in the taxonomy, blue green red; apart in hue and in lightness.
PALETTE: tuple[Color, ...] = (
    *((255, 196, 84), (64, 200, 255), (255, 150, 200), (110, 110, 255), (130, 215, 120), (60, 150, 255)),
    *((200, 200, 110), (190, 140, 255)),
)
NOTHING = "no known actor is in enough of the frames"
LEGEND = "bars: share of the frames, ticks: gates"
SMALL = 0.42  # size of the writing beside the bars, as OpenCV counts it, at unit 1
PAPER, TRACK, FAINT, GREY, PLAIN = (34, 28, 24), (62, 54, 50), (150, 142, 138), (200, 195, 190), (240, 240, 240)


@dataclass(frozen=True)
class Layout:
    """Where things are in an annotated clip, in pixels.

    Attributes:
        scale: By how much the clip is enlarged.
        picture: Width and height of the enlarged clip.
        width: Of the whole, even; wider than the picture where the writing needs it.
        unit: Size of everything drawn, 1 for 480 lines.
    """

    scale: float
    picture: tuple[int, int]
    width: int
    unit: float

    @classmethod
    def of(cls, width: int, height: int) -> "Layout":
        """Lay out a clip of a size."""
        scale = max(1.0, LEAST_LINES / height)
        picture = _even(width * scale), _even(height * scale)
        unit = max(1.0, min(picture) / LEAST_LINES)
        return cls(scale, picture, max(picture[0], _even(LEAST_LINES * unit)), unit)

    @property
    def left(self) -> int:
        """Where the picture begins."""
        return (self.width - self.picture[0]) // 2


@dataclass(frozen=True)
class Annotator:
    """Draws one clip's frames.

    Attributes:
        result: What is said of the clip.
        detections: What stage 1 saw in it.
        taxonomy: The run's.
        layout: Where things are.
    """

    result: ClipResult
    detections: ClipDetections
    taxonomy: Taxonomy
    layout: Layout

    def draw(self, image: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        """Draw a frame.

        Args:
            image: Shape (H, W, 3), uint8, BGR; one of another size than the clip's first is fitted into its place.
            row: Its place among the frames that were detected, from 0.

        Returns:
            Shape (height, width, 3), uint8, both even.
        """
        import cv2

        layout = self.layout
        interpolation = cv2.INTER_CUBIC if layout.scale > 1 else cv2.INTER_AREA
        picture = np.asarray(cv2.resize(image, layout.picture, interpolation=interpolation), dtype=np.uint8)
        scale = np.array(layout.picture * 2) / np.array([image.shape[1], image.shape[0]] * 2)
        self._draw_boxes(picture, row, scale)
        canvas = np.full((layout.picture[1] + len(self.strip), layout.width, 3), PAPER, dtype=np.uint8)
        canvas[: layout.picture[1], layout.left : layout.left + layout.picture[0]] = picture
        canvas[layout.picture[1] :] = self.strip
        return canvas

    @cached_property
    def strip(self) -> NDArray[np.uint8]:
        """What stands below every frame, shape (height, width, 3): what is said, then each actor against its gate."""
        import cv2

        unit, width = 2 * self.layout.unit, 2 * self.layout.width  # drawn at twice the size, for smooth edges
        columns = 3 if width >= 780 * unit else 2
        rows = -(-len(self.taxonomy.actors) // columns)
        strip = np.full((2 * _even((58 + 22 * rows) * unit / 2), width, 3), PAPER, dtype=np.uint8)
        self._draw_verdict(strip, unit)
        margin, gap = 12 * unit, 22 * unit
        cell = (width - 2 * margin - (columns - 1) * gap) / columns
        names = max(text_width(name, SMALL * unit) for name in self.taxonomy.actor_names)
        for place, actor in enumerate(self.taxonomy.actors):
            column, line = divmod(place, rows)
            left, middle = margin + column * (cell + gap), (60 + 22 * line) * unit
            evidence = self.result.actors[actor.name]
            ink = PLAIN if evidence.present else FAINT
            share = f"{100 * evidence.presence:.1f} %"
            end = left + cell
            text(strip, actor.name, left, middle, ink, SMALL * unit)
            text(strip, share, end - text_width(share, SMALL * unit), middle, ink, SMALL * unit)
            bar = left + names + 12 * unit, end - text_width("100.0 %", SMALL * unit) - 8 * unit
            _draw_bar(strip, evidence, _color(place), bar, middle, unit)
        size = self.layout.width, len(strip) // 2
        return np.asarray(cv2.resize(strip, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _draw_boxes(self, picture: NDArray[np.uint8], row: int, scale: NDArray[np.float64]) -> None:
        """Draw a frame's boxes: those of absent actors first, then the likelier the later."""
        found, unit = self.detections, self.layout.unit
        actors = self.taxonomy.actors
        places = np.flatnonzero(found.frame_row == row)
        present = np.array([self.result.actors[actors[found.actor_index[place]].name].present for place in places])
        for which in np.lexsort((found.confidence[places], present)):
            place = places[which]
            index = int(found.actor_index[place])
            label = f"{actors[index].name} {found.confidence[place]:.2f}"
            corners = found.boxes[place] * scale
            if present[which]:
                box(picture, corners, label, _color(index), unit)
            else:
                box(picture, corners, label, GREY, unit, faint=True)

    def _draw_verdict(self, strip: NDArray[np.uint8], unit: float) -> None:
        """Write what is said of the clip, and how to read the bars, as far as there is room."""
        left, right, middle = 12 * unit, strip.shape[1] - 12 * unit, 24 * unit
        said = self.result.labels
        if not said:
            text(strip, NOTHING, left, middle, FAINT, 0.5 * unit)
            left += text_width(NOTHING, 0.5 * unit)
        for number, label in enumerate(said):
            words, rest = f"{label.label} {label.score:.2f}", f"+{len(said) - number}"
            others = text_width(rest, 0.5 * unit) + 8 * unit if number < len(said) - 1 else 0
            if chip_width(words, unit) + others > right - left:
                text(strip, rest, left, middle, FAINT, 0.5 * unit)
                return
            color = _color(self.taxonomy.actor(self.taxonomy.label(label.label).actor).index)
            left += chip(strip, words, left, middle, color, unit) + 8 * unit
        legend = text_width(LEGEND, SMALL * unit)
        if left + 16 * unit + legend <= right:
            text(strip, LEGEND, right - legend, middle, FAINT, SMALL * unit)


def annotate_clip(clip: Path, result: ClipResult, detections: ClipDetections, taxonomy: Taxonomy, path: Path) -> None:
    """Write a copy of a clip with what was found drawn into it; frames keep their times.

    Args:
        clip: A video file, or a folder of PNG frames.
        result: What was said of it, of status `ok` or `truncated`.
        detections: What stage 1 saw in it.
        taxonomy: The run's.
        path: Where to write, an MP4 file.

    Raises:
        ClipError: If the clip can no longer be read.
    """
    batches = read_frames(clip, BATCH)
    first = next(batches)
    annotator = Annotator(result, detections, taxonomy, Layout.of(first.images.shape[2], first.images.shape[1]))
    height = annotator.layout.picture[1] + len(annotator.strip)
    times = np.append(detections.time_seconds, detections.duration_seconds)
    with video_writer(path, annotator.layout.width, height, detections.fps or ASSUMED_FPS) as writer:
        for row, image in zip(range(detections.frames), _images(first, batches), strict=False):
            writer.add(annotator.draw(image, row), times[row], times[row + 1] - times[row])


def annotated_names(clips: Sequence[Path]) -> dict[Path, str]:
    """Name the annotated copies of some clips: `<stem>.annotated.mp4`, numbered where several would be called the same.

    >>> annotated_names([Path("a/dog.mp4"), Path("b/dog.avi"), Path("cat.mp4")])[Path("b/dog.avi")]
    'dog-2.annotated.mp4'
    """
    names: dict[Path, str] = {}
    taken = set()
    for clip in clips:
        stem = clip.absolute().stem
        name, number = stem, 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        names[clip] = f"{name}.annotated.mp4"
    return names


def _draw_bar(
    strip: NDArray[np.uint8],
    evidence: ActorEvidence,
    color: Color,
    ends: tuple[float, float],
    middle: float,
    unit: float,
) -> None:
    """Draw the share of frames that show an actor, and a tick where its gate is."""
    begin, end = ends
    half = 4 * unit
    rectangle(strip, begin, middle - half, end, middle + half, TRACK, half)
    if evidence.presence > 0:
        reached = begin + max(evidence.presence * (end - begin), 2 * half)
        rectangle(strip, begin, middle - half, reached, middle + half, color if evidence.present else FAINT, half)
    gate = begin + evidence.gate * (end - begin)
    rectangle(strip, gate - unit, middle - 7 * unit, gate + unit, middle + 7 * unit, PLAIN, unit)


def _images(first: FrameBatch, others: Iterable[FrameBatch]) -> Iterable[NDArray[np.uint8]]:
    """Give out the frames of batches one by one, up to where the clip breaks off."""
    yield from first.images
    try:
        for batch in others:
            yield from batch.images
    except TruncatedClipError:
        return


def _color(place: int) -> Color:
    return PALETTE[place % len(PALETTE)]


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))
