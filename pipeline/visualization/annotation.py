"""An annotated copy of a clip: every box, and below the picture the verdict with its reasons, as far as they are known.

The labels that are said of a moment are lit, and each actor's bar shows its share of the frames up to there.
"""

from collections.abc import Iterable, Iterator, Sequence
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
from common.file_names import FileNames
from pipeline.results import ClipResult
from pipeline.visualization.drawing import box
from pipeline.visualization.layout import GREY, PAPER, Layout, color_of
from pipeline.visualization.verdict_strip import VerdictStrip
from video.audio import open_audio
from video.clips import decode_frames
from video.frames import ASSUMED_FPS, Frame
from video.remote_clips import AnyClip
from video.writer import video_writer

SUFFIX = ".annotated.mp4"


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
        canvas = np.full((self.height, layout.width, 3), PAPER, dtype=np.uint8)
        canvas[: layout.picture[1], layout.left : layout.left + layout.picture[0]] = picture
        canvas[layout.picture[1] :] = self.strip.at(row)
        return canvas

    @cached_property
    def strip(self) -> VerdictStrip:
        """What is drawn below the picture."""
        return VerdictStrip(self.result, self.detections, self.taxonomy, self.layout)

    @property
    def height(self) -> int:
        """Height of an annotated frame in pixels."""
        return self.layout.picture[1] + len(self.strip.final)

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
                box(picture, corners, label, color_of(actor.index), unit)
            else:
                box(picture, corners, label, GREY, unit, faint=True)


def annotate_clip(clip: Path, result: ClipResult, detections: ClipDetections, taxonomy: Taxonomy, path: Path) -> None:
    """Write an annotated copy of a clip; frames keep their times, and the audio is in sync with them.

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
        fps, longest_seconds = detections.fps or ASSUMED_FPS, float(np.diff(times).max())
        size = annotator.layout.width, annotator.height
        with open_audio(clip, first) as audio, video_writer(path, *size, fps, longest_seconds, audio) as writer:
            others = audio.follow(frames) if audio else frames
            drawn, begin = annotator.draw(first.image(), 0), float(times[0])
            for frame in _undamaged(islice(others, detections.frames - 1)):
                row = int(np.searchsorted(detections.frame_index, frame.index, side="right")) - 1
                is_processed = detections.frame_index[row] == frame.index
                end = float(times[row]) if is_processed else frame.time_seconds
                writer.add(drawn, begin, end - begin)
                drawn, begin = annotator.draw(frame.image(), row), end
            writer.add(drawn, begin, detections.duration_seconds - begin)


def annotated_names(clips: Sequence[AnyClip], folder: Path | None = None) -> dict[AnyClip, str]:
    """Name the annotated copies of clips: `<stem>.annotated.mp4`, numbered where several would have the same name.

    Names that differ in case only are the same on some systems. Long ones are shortened.

    Args:
        clips: Video files or folders of frames, or files in stores.
        folder: Where the copies are written; clips that are there are not replaced.

    >>> annotated_names([Path("a/dog.mp4"), Path("b/Dog.avi"), Path("cat.mp4")])[Path("b/Dog.avi")]
    'Dog-2.annotated.mp4'
    """
    there = folder.absolute() if folder else None
    names = FileNames(SUFFIX, [clip.name for clip in _local(clips) if clip.absolute().parent == there])
    return {clip: names.name(clip.absolute().stem if isinstance(clip, Path) else clip.stem) for clip in clips}


def _local(clips: Iterable[AnyClip]) -> Iterator[Path]:
    yield from (clip for clip in clips if isinstance(clip, Path))


def _undamaged(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield the frames of a clip up to where it is truncated."""
    try:
        yield from frames
    except TruncatedClipError:
        return
