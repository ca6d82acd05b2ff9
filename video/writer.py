"""Writing H.264 videos that every player opens: complete or not at all, and the same bytes for the same images.

PyAV is imported when a video is first written, so that importing this module is cheap.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

TIME_BASE = Fraction(1, 90_000)  # fine enough to represent the times of all common frame rates


@dataclass
class VideoWriter:
    """Encodes the frames of one video in order; created by `video_writer`."""

    container: "OutputContainer"
    stream: "VideoStream"
    last_pts: int = -1

    def add(self, image: NDArray[np.uint8], time_seconds: float, duration_seconds: float) -> None:
        """Add a frame.

        Args:
            image: Shape (H, W, 3), uint8, BGR, of the video's size.
            time_seconds: When it is shown, relative to the start of the video.
            duration_seconds: How long it is shown.
        """
        from av import VideoFrame

        frame = VideoFrame.from_ndarray(image, format="bgr24")
        self.last_pts = max(round(time_seconds / TIME_BASE), self.last_pts + 1)
        frame.pts, frame.time_base = self.last_pts, TIME_BASE
        frame.duration = max(round(duration_seconds / TIME_BASE), 1)
        self.container.mux(self.stream.encode(frame))


@contextmanager
def video_writer(path: Path, width: int, height: int, fps: float) -> Iterator[VideoWriter]:
    """Write an H.264 video (yuv420p, MP4); the file appears once it is complete.

    Args:
        path: The file to write; missing folders are created, an existing file is replaced.
        width: Width of the frames in pixels, even.
        height: Height of the frames in pixels, even.
        fps: Nominal frame rate for the encoder's rate control; each frame has its own time.

    Yields:
        A writer for the frames.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with av.open(f"file:{temporary}", "w", format="mp4") as container:
            rate = Fraction(fps).limit_denominator(1001)
            # x264's output depends on the number of threads and, in its fastest code, on memory alignment.
            options = {"crf": "20", "preset": "veryfast", "threads": "1", "x264-params": "cpu-independent=1"}
            stream = container.add_stream("libx264", rate=rate, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.time_base = TIME_BASE
            writer = VideoWriter(container, stream)
            yield writer
            container.mux(stream.encode())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
