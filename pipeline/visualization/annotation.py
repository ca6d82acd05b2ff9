"""An annotated copy of a clip: every box, and below the picture the verdict with its reasons."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from a2d.taxonomy import Taxonomy
from actor_detector.detections import ClipDetections
from common.errors import TruncatedClipError
from pipeline.results import ActorEvidence, ClipResult
from pipeline.visualization.drawing import Color, box, chip, chip_width, rectangle, text, text_width
from video.clips import decode_frames
from video.frames import ASSUMED_FPS, Frame
from video.writer import video_writer

MIN_HEIGHT = 480  # pixels; smaller clips are enlarged, so that the text is legible
MAX_SIDE = 3840  # pixels; larger clips are reduced, and x264 refuses those of more than 16,384
SUFFIX = ".annotated.mp4"
MAX_NAME_BYTES = 255  # of common file systems

# By actor index, blue green red; distinct in hue and in lightness.
PALETTE: tuple[Color, ...] = (
    *((255, 196, 84), (64, 200, 255), (255, 150, 200), (110, 110, 255), (130, 215, 120), (60, 150, 255)),
    *((200, 200, 110), (190, 140, 255)),
)
NOTHING = "no known actor is in enough of the frames"
LEGEND = "bars: share of the frames, ticks: gates"
SMALL = 0.42  # OpenCV font scale of the text beside the bars, at unit 1
PAPER, TRACK, FAINT, GREY, PLAIN = (34, 28, 24), (62, 54, 50), (150, 142, 138), (200, 195, 190), (240, 240, 240)


@dataclass(frozen=True)
class Layout:
    """The layout of an annotated clip, in pixels.

    Attributes:
        scale: Factor by which the clip is resized.
        picture: Width and height of the resized clip.
        width: Of the whole, even; wider than the picture if the text needs it.
        unit: Scale of everything drawn, 1 for a height of 480 pixels.
    """

    scale: float
    picture: tuple[int, int]
    width: int
    unit: float

    @classmethod
    def of(cls, width: int, height: int) -> "Layout":
        """Return the layout for a clip's width and height in pixels."""
        scale = min(max(1.0, MIN_HEIGHT / height), MAX_SIDE / max(width, height))
        picture = _even(width * scale), _even(height * scale)
        unit = max(1.0, min(picture) / MIN_HEIGHT)
        return cls(scale, picture, max(picture[0], _even(MIN_HEIGHT * unit)), unit)

    @property
    def left(self) -> int:
        """Left edge of the picture."""
        return (self.width - self.picture[0]) // 2


@dataclass(frozen=True)
class Annotator:
    """Annotates one clip's frames.

    Attributes:
        result: Of the clip.
        detections: Of the clip.
        taxonomy: Actors and labels.
        layout: Of the annotated frames.
    """

    result: ClipResult
    detections: ClipDetections
    taxonomy: Taxonomy
    layout: Layout

    def draw(self, image: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
        """Annotate a frame.

        Args:
            image: Shape (H, W, 3), uint8, BGR; one of another size than the clip's first is resized to it.
            row: Its row in the detections, from 0.

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
        """The strip below every frame, shape (height, width, 3): predicted labels, then each actor against its gate."""
        import cv2

        unit, width = 2 * self.layout.unit, 2 * self.layout.width  # drawn at twice the size, for smooth edges
        columns = 3 if width >= 780 * unit else 2
        rows = -(-len(self.taxonomy.actors) // columns)
        strip = np.full((2 * _even((58 + 22 * rows) * unit / 2), width, 3), PAPER, dtype=np.uint8)
        self._draw_verdict(strip, unit)
        margin, gap = 12 * unit, 22 * unit
        cell = (width - 2 * margin - (columns - 1) * gap) / columns
        names = max(text_width(name, SMALL * unit) for name in self.taxonomy.actor_names)
        for actor in self.taxonomy.actors:
            column, line = divmod(actor.index, rows)
            left, middle = margin + column * (cell + gap), (60 + 22 * line) * unit
            evidence = self.result.actors[actor.name]
            ink = PLAIN if evidence.present else FAINT
            share = f"{100 * evidence.presence:.1f} %"
            end = left + cell
            text(strip, actor.name, left, middle, ink, SMALL * unit)
            text(strip, share, end - text_width(share, SMALL * unit), middle, ink, SMALL * unit)
            bar = left + names + 12 * unit, end - text_width("100.0 %", SMALL * unit) - 8 * unit
            _draw_bar(strip, evidence, _color(actor.index), bar, middle, unit)
        size = self.layout.width, len(strip) // 2
        return np.asarray(cv2.resize(strip, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _draw_boxes(self, picture: NDArray[np.uint8], row: int, scale: NDArray[np.float64]) -> None:
        """Draw a frame's boxes: those of absent actors first, then by ascending confidence."""
        found, unit = self.detections, self.layout.unit
        actors = self.taxonomy.actors
        boxes = np.flatnonzero(found.frame_row == row)
        present = np.array([self.result.actors[actors[found.actor_index[index]].name].present for index in boxes])
        for rank in np.lexsort((found.confidence[boxes], present)):
            index = boxes[rank]
            actor = actors[int(found.actor_index[index])]
            label = f"{actor.name} {found.confidence[index]:.2f}"
            corners = found.boxes[index] * scale
            if present[rank]:
                box(picture, corners, label, _color(actor.index), unit)
            else:
                box(picture, corners, label, GREY, unit, faint=True)

    def _draw_verdict(self, strip: NDArray[np.uint8], unit: float) -> None:
        """Draw the predicted labels and the legend, as far as there is room."""
        left, right, middle = 12 * unit, strip.shape[1] - 12 * unit, 24 * unit
        labels = self.result.labels
        if not labels:
            text(strip, NOTHING, left, middle, FAINT, 0.5 * unit)
            left += text_width(NOTHING, 0.5 * unit)
        for number, label in enumerate(labels):
            words, rest = f"{label.label} {label.score:.2f}", f"+{len(labels) - number}"
            others = text_width(rest, 0.5 * unit) + 8 * unit if number < len(labels) - 1 else 0
            if chip_width(words, unit) + others > right - left:
                text(strip, rest, left, middle, FAINT, 0.5 * unit)
                return
            color = _color(self.taxonomy.actor(self.taxonomy.label(label.label).actor).index)
            left += chip(strip, words, left, middle, color, unit) + 8 * unit
        legend = text_width(LEGEND, SMALL * unit)
        if left + 16 * unit + legend <= right:
            text(strip, LEGEND, right - legend, middle, FAINT, SMALL * unit)


def annotate_clip(clip: Path, result: ClipResult, detections: ClipDetections, taxonomy: Taxonomy, path: Path) -> None:
    """Write an annotated copy of a clip; frames keep their times.

    Args:
        clip: A video file, or a folder of PNG frames.
        result: Of the clip, with status `ok` or `truncated`.
        detections: Of the clip.
        taxonomy: Actors and labels.
        path: The MP4 file to write.

    Raises:
        ClipError: If the clip can no longer be read.
    """
    times = np.append(detections.time_seconds, detections.duration_seconds)
    with closing(decode_frames(clip)) as frames:
        first = next(frames)
        annotator = Annotator(result, detections, taxonomy, Layout.of(*first.size))
        height = annotator.layout.picture[1] + len(annotator.strip)
        fps, longest_seconds = detections.fps or ASSUMED_FPS, float(np.diff(times).max())
        with video_writer(path, annotator.layout.width, height, fps, longest_seconds) as writer:
            drawn, begin = annotator.draw(first.image(), 0), float(times[0])
            for frame in _undamaged(islice(frames, detections.frames - 1)):
                row = int(np.searchsorted(detections.frame_index, frame.index, side="right")) - 1
                is_processed = detections.frame_index[row] == frame.index
                end = float(times[row]) if is_processed else frame.time_seconds
                writer.add(drawn, begin, end - begin)
                drawn, begin = annotator.draw(frame.image(), row), end
            writer.add(drawn, begin, detections.duration_seconds - begin)


def annotated_names(clips: Sequence[Path], folder: Path | None = None) -> dict[Path, str]:
    """Name the annotated copies of clips: `<stem>.annotated.mp4`, numbered where several would have the same name.

    Names that differ in case only are the same on some systems. Long ones are shortened.

    Args:
        clips: Video files or folders of frames.
        folder: Where the copies are written; clips that are there are not replaced.

    >>> annotated_names([Path("a/dog.mp4"), Path("b/Dog.avi"), Path("cat.mp4")])[Path("b/Dog.avi")]
    'Dog-2.annotated.mp4'
    """
    names: dict[Path, str] = {}
    numbers: dict[str, int] = {}  # the last one, by name
    there = folder.absolute() if folder else None
    taken = {_folded(clip.name) for clip in clips if clip.absolute().parent == there}
    for clip in clips:
        stem = clip.absolute().stem
        number = numbers.get(_folded(stem), 0)
        while (name := _name(stem, number := number + 1)) and _folded(name) in taken:
            pass
        numbers[_folded(stem)] = number
        taken.add(_folded(name))
        names[clip] = name
    return names


def _name(stem: str, number: int) -> str:
    end = SUFFIX if number == 1 else f"-{number}{SUFFIX}"
    while len(os.fsencode(stem + end)) > MAX_NAME_BYTES:
        stem = stem[:-1]
    return stem + end


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _draw_bar(
    strip: NDArray[np.uint8],
    evidence: ActorEvidence,
    color: Color,
    ends: tuple[float, float],
    middle: float,
    unit: float,
) -> None:
    """Draw an actor's presence ratio as a bar, and its gate as a tick."""
    begin, end = ends
    half = 4 * unit
    rectangle(strip, (begin, middle - half, end, middle + half), TRACK, half)
    if evidence.presence > 0:
        reached = begin + max(evidence.presence * (end - begin), 2 * half)
        rectangle(strip, (begin, middle - half, reached, middle + half), color if evidence.present else FAINT, half)
    gate = begin + evidence.gate * (end - begin)
    rectangle(strip, (gate - unit, middle - 7 * unit, gate + unit, middle + 7 * unit), PLAIN, unit)


def _undamaged(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield the frames of a clip up to where it is truncated."""
    try:
        yield from frames
    except TruncatedClipError:
        return


def _color(actor_index: int) -> Color:
    return PALETTE[actor_index % len(PALETTE)]


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))
