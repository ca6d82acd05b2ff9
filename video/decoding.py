"""Video files, from start to end: PyAV's packets and pictures into frames, with an eye on what the file lacks.

PyAV is imported when a clip is first read, so that importing this module is cheap.
"""

import math
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ClipError, TruncatedClipError
from common.system import available_cores
from video.frames import ASSUMED_FPS, Frame, resize_image
from video.yuv import resize_yuv

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

# Containers that write their duration down; of the others, FFmpeg guesses it.
STORES_DURATION = ("mov", "matroska", "flv", "avi", "asf")

SMALL_PICTURE, FEW_CORES = 640 * 480, 4  # up to these, one thread decodes faster than the detector looks


@dataclass
class PacketLog:
    """What a pass over a clip's packets met: how many, when the last one ends in seconds, the first thing wrong."""

    packets: int = 0
    end_seconds: float = 0.0
    fault: str = ""

    def blame(self, reason: object) -> None:
        """Remember a fault, if it is the first."""
        self.fault = self.fault or str(reason)


@dataclass
class _Clock:
    """Turns timestamps into seconds from the first frame on, always later than the last: a frame step stands in."""

    time_base: Fraction
    step_seconds: float
    origin: int | None = None
    last_seconds: float = -math.inf

    def seconds(self, pts: int | None) -> float:
        """Say when the next frame in order is shown."""
        guess = max(0.0, self.last_seconds + self.step_seconds)
        if pts is not None and self.origin is None:
            self.origin = pts - round(guess / self.time_base)
        told = guess if pts is None or self.origin is None else float((pts - self.origin) * self.time_base)
        self.last_seconds = told if told > self.last_seconds else guess
        return self.last_seconds


class BgrConverter:
    """Turns decoded pictures into BGR images; one per clip, as setting the conversion up is the costly part."""

    def __init__(self) -> None:
        self._reformatter: VideoReformatter | None = None
        self._lock = Lock()  # the decoder's thread and whoever looks at its frames may ask at the same time

    def paint(self, picture: "VideoFrame", size: tuple[int, int]) -> NDArray[np.uint8]:
        """Give the picture as an image (H, W, 3), uint8, BGR, not turned yet, of some width and height."""
        whole = size == (picture.width, picture.height)
        if not whole and (image := resize_yuv(picture, size)) is not None:
            return image
        from av.video.reformatter import VideoReformatter

        with self._lock:
            self._reformatter = self._reformatter or VideoReformatter()
            painted = self._reformatter.reformat(picture, format="bgr24")
        image = np.asarray(painted.to_ndarray(), dtype=np.uint8)
        return image if whole else resize_image(image, size)


@dataclass(frozen=True)
class DecodedPicture:
    """A picture as the decoder left it, with what turns it into an image."""

    frame: "VideoFrame"
    painter: BgrConverter

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        width, height = self.frame.width, self.frame.height
        return (height, width) if self.frame.rotation and _is_on_its_side(self._matrix()) else (width, height)

    def image(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Give an image (H, W, 3), uint8, BGR, upright; of another width and height where they are given."""
        # PyAV 18 cannot list side data of kinds that it does not know, so only clips that are turned are asked for it.
        if not self.frame.rotation:
            return self.painter.paint(self.frame, size or (self.frame.width, self.frame.height))
        matrix = self._matrix()
        width, height = size or self.size
        return _upright(
            self.painter.paint(self.frame, (height, width) if _is_on_its_side(matrix) else (width, height)), matrix
        )

    def _matrix(self) -> NDArray[np.int32]:
        side_data: Any = self.frame.side_data  # PyAV's type for it knows one key only
        return np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), dtype=np.int32).reshape(3, 3)


def _is_on_its_side(matrix: NDArray[np.int32]) -> bool:
    return abs(int(matrix[0, 0])) < abs(int(matrix[0, 1]))


def _upright(image: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Turn and flip an image (H, W, 3) as the display matrix says: pixel (x, y) goes to (x, y) @ matrix[:2, :2]."""
    (a, b), (c, d) = matrix[:2, :2]
    if _is_on_its_side(matrix):
        image, (a, d) = image.transpose(1, 0, 2), (c, b)
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


@contextmanager
def open_video(clip: Path, loop_filter: bool = True) -> Iterator[tuple["InputContainer", "VideoStream"]]:
    """Open a video file and find its video stream; cover pictures of audio files are none."""
    import av
    from av.stream import Disposition

    if not clip.exists():
        raise ClipError(f"{clip}: no such file")
    try:
        # "file:" keeps a name with a colon from being taken for a network protocol.
        container = av.open(f"file:{clip}", metadata_errors="replace")
    except av.error.FFmpegError as reason:
        raise ClipError(f"{clip}: not a video that can be read ({reason.strerror})") from None
    with container:
        streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not streams or container.format.name == "tty":  # FFmpeg would film a text file
            raise ClipError(f"{clip}: there is no video in it")
        if streams[0].codec_context is None:
            raise ClipError(f"{clip}: no decoder is known for its video")
        if not loop_filter:
            streams[0].codec_context.options = {"skip_loop_filter": "all"}
        streams[0].thread_type = "AUTO" if _gains_from_threads(container, streams[0]) else "SLICE"
        yield container, streams[0]


def _gains_from_threads(container: "InputContainer", stream: "VideoStream") -> bool:
    """Say whether several frames should be decoded at a time, on several available_cores.

    That is a quarter more work, wasted where something else wants the available_cores and one thread is fast enough. And a
    transport stream says nothing of its length, so that only a damaged last frame gives a cut away; whether FFmpeg
    marks that frame then depends on chance.
    """
    if container.format.name == "mpegts":
        return False
    return stream.codec_context.width * stream.codec_context.height > SMALL_PICTURE or available_cores() > FEW_CORES


def read_packets(
    container: "InputContainer", stream: "VideoStream", tally: PacketLog
) -> Iterator["Packet[VideoStream]"]:
    """Give out a stream's packets in file order, without those that the file does not hold whole."""
    from av.error import FFmpegError

    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                tally.blame("the file does not hold all of a frame")
                continue
            begin = packet.dts if packet.pts is None else packet.pts
            if begin is not None:
                tally.end_seconds = max(
                    tally.end_seconds, float((begin + (packet.duration or 0)) * stream_time_base(stream))
                )
            tally.packets += packet.size > 0 or begin is not None
            if packet.size:  # an empty one would tell the decoder that the clip is over
                yield packet
    except FFmpegError as reason:
        tally.blame(reason.strerror)


def decode_packets(
    packets: Iterable["Packet[VideoStream]"], stream: "VideoStream", tally: PacketLog
) -> Iterator["VideoFrame"]:
    """Decode packets, and what the decoder still holds after the last; go on after those that cannot be decoded."""
    from av.error import FFmpegError

    for packet in chain(packets, [None]):
        try:
            pictures = stream.codec_context.decode(packet)
        except FFmpegError as reason:
            tally.blame(reason.strerror)
            continue
        for picture in pictures:
            if picture.is_corrupt:
                tally.blame("a frame is damaged")
            yield picture


def decode_video(clip: Path, loop_filter: bool = True) -> Generator[Frame, None, None]:
    """Decode every frame of a video file, in the order they are shown.

    Args:
        clip: The file.
        loop_filter: Whether the decoder smooths the edges of its blocks, see `video.clips.decode_frames`.

    Raises:
        ClipError: If the file is missing, no video, or nothing in it can be decoded.
        TruncatedClipError: After the last frame that could be decoded, if the file ends early or is damaged.
    """
    with open_video(clip, loop_filter) as (container, stream):
        tally, painter = PacketLog(), BgrConverter()
        clock = _Clock(stream_time_base(stream), float(1 / (stream.guessed_rate or ASSUMED_FPS)))
        frames = 0
        for picture in decode_packets(read_packets(container, stream, tally), stream, tally):
            seconds = frame_duration_seconds(picture, stream)
            yield Frame(frames, clock.seconds(picture.pts), seconds, DecodedPicture(picture, painter))
            frames += 1
        if not frames:
            raise ClipError(f"{clip}: no frame could be decoded ({tally.fault or 'it holds none'})")
        fault = tally.fault or _shortfall(container, stream, tally)
        if fault:
            promised = f" of {stream.frames}" if stream.frames else ""
            raise TruncatedClipError(
                f"{clip}: cut off or damaged ({fault}): {frames}{promised} frames could be decoded"
            )


def _shortfall(container: "InputContainer", stream: "VideoStream", tally: PacketLog) -> str:
    """Say what the header promised beyond what the file held, or nothing."""
    if container.format.name.startswith("mov") and stream.frames:
        # An edit list takes frames out of the index, and they are not missing; the table of samples still counts them.
        expected = min(stream.frames, len(stream.index_entries))
        return f"the file ends after {tally.packets} of {expected} packets" if tally.packets < expected else ""
    promised = _header_seconds(container, stream)
    if promised - tally.end_seconds > max(1.0, 0.1 * promised):
        return f"it ends at {tally.end_seconds:.2f} of {promised:.2f} seconds"
    return ""


def _header_seconds(container: "InputContainer", stream: "VideoStream") -> float:
    """Say when the video ends according to the header, or 0 where the header does not say."""
    if not container.format.name.startswith(STORES_DURATION):
        return 0.0
    if stream.frames and stream.average_rate:
        return float(stream.frames / stream.average_rate)
    if stream.duration:
        return float(stream.duration * stream_time_base(stream))
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))  # as Matroska writes it
    if tag:
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3])
    # The container's own duration is that of its longest stream, which need not be the video.
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def stream_time_base(stream: "VideoStream") -> Fraction:
    """Give the seconds in one unit of the stream's timestamps."""
    return stream.time_base or Fraction(1, 1_000_000)


def frame_duration_seconds(picture: "VideoFrame", stream: "VideoStream") -> float:
    """Give the seconds that a picture is shown, 0 where the file does not say."""
    return max(0.0, float((picture.duration or 0) * stream_time_base(stream)))
