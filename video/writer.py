"""Writing H.264 videos that every player opens: complete or not at all, and the same bytes for the same images.

PyAV is imported when a video is first written, so that importing this module is cheap.
"""

import os
import platform
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from video.audio import ClipAudio
from video.audio_writer import AudioWriter

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

TIME_BASES = Fraction(1, 90_000), Fraction(1, 1_000), Fraction(1, 100), Fraction(1, 10)
"""The first one represents the times of all common frame rates; the others allow for longer pauses."""
MAX_FRAME_DURATION = 2**29 - 1  # in these units: MP4 stores 32 bits, and x264 reorders up to four frames
MIN_FPS, MAX_FPS = 1, 1000  # nominal; x264 only derives how to spend its bits from it
UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.([0-9a-f]{8})\.(\d+)\.tmp")  # of a file name, the machine, and the process


@dataclass
class VideoWriter:
    """Encodes the frames of one video in order; created by `video_writer`.

    Attributes:
        container: The file.
        stream: Its video.
        time_base: Duration of one unit of its timestamps, seconds.
        audio: Writes the audio; None if there is none.
        lead_seconds: How long the audio is heard before the first frame is shown.
        last_pts: Timestamp of the last frame, -1 before the first one.
    """

    container: "OutputContainer"
    stream: "VideoStream"
    time_base: Fraction
    audio: AudioWriter | None = None
    lead_seconds: float = 0.0
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
        time_seconds += self.lead_seconds
        # Times that even the coarsest unit cannot represent are cut: the frame is shown for years anyway.
        pts = min(round(time_seconds / self.time_base), self.last_pts + MAX_FRAME_DURATION)
        self.last_pts = max(pts, self.last_pts + 1)
        frame.pts, frame.time_base = self.last_pts, self.time_base
        frame.duration = min(max(round(duration_seconds / self.time_base), 1), MAX_FRAME_DURATION)
        self.container.mux(self.stream.encode(frame))
        if self.audio:
            self.audio.write_until(time_seconds + duration_seconds)

    def finish(self) -> None:
        """Write what the encoder still holds back, and the rest of the audio."""
        self.container.mux(self.stream.encode())
        if self.audio:
            self.audio.finish()


@contextmanager
def video_writer(
    path: Path, width: int, height: int, fps: float, longest_seconds: float = 0.0, audio: ClipAudio | None = None
) -> Iterator[VideoWriter]:
    """Write an H.264 video (yuv420p, MP4); the file appears once it is complete.

    Args:
        path: The file to write; missing folders are created, an existing file is replaced.
        width: Width of the frames in pixels, even.
        height: Height of the frames in pixels, even.
        fps: Nominal frame rate for the encoder's rate control; each frame has its own time.
        longest_seconds: How long the frame is shown that is shown longest, if that may be hours; times are rounded more
            coarsely then.
        audio: What is heard with the frames, in sync with them; its clip has to stay open meanwhile.

    Yields:
        A writer for the frames.

    Raises:
        OSError: If it cannot be written, for example because the disk is full.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_unfinished_name(path.name))
    try:
        fine_enough = (base for base in TIME_BASES if longest_seconds / base <= MAX_FRAME_DURATION)
        time_base = next(fine_enough, TIME_BASES[-1])
        muxing = {"movie_timescale": str(TIME_BASES[0].denominator)}  # of the time before the first frame
        if time_base != TIME_BASES[0]:  # FFmpeg would multiply a coarse unit.
            muxing["video_track_timescale"] = str(time_base.denominator)
        with av.open(f"file:{temporary}", "w", format="mp4", options=muxing) as container:
            rate = Fraction(min(max(fps, MIN_FPS), MAX_FPS)).limit_denominator(1001)
            # x264's output depends on the number of threads and, in its fastest code, on memory alignment.
            options = {"crf": "20", "preset": "veryfast", "threads": "1", "x264-params": "cpu-independent=1"}
            stream = container.add_stream("libx264", rate=rate, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.time_base = time_base
            writer = VideoWriter(container, stream, time_base)
            if audio:
                writer.audio, writer.lead_seconds = AudioWriter(container, audio), audio.lead_seconds
            yield writer
            writer.finish()
        temporary.replace(path)
    except OSError as reason:
        if temporary.name not in str(reason):
            raise
        raise OSError(reason.errno, reason.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes of this machine that were killed had begun to write into a folder."""
    if os.name != "posix":  # elsewhere, there is no harmless signal
        return
    try:
        for path in folder.iterdir():
            match = UNFINISHED.fullmatch(path.name)
            if match and match[1] == _digest(platform.node()) and not _is_running(int(match[2])):
                path.unlink(missing_ok=True)
    except OSError:  # then they stay
        return


def _unfinished_name(name: str) -> str:
    """Name the temporary file for a file: short and without characters that a library might refuse."""
    return f".{_digest(name)}.{_digest(platform.node())}.{os.getpid()}.tmp"


def _digest(text: str) -> str:
    return f"{zlib.crc32(text.encode(errors='surrogateescape')):08x}"


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
