"""Sequential decoding of video files with PyAV, and detection of truncated and damaged files.

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

# FFmpeg only estimates the duration of other containers.
CONTAINERS_WITH_DURATION = ("mov", "matroska", "flv", "avi", "asf")

# Up to both limits, a single thread decodes faster than the detector consumes frames.
SINGLE_THREAD_MAX_PIXELS = 640 * 480
SINGLE_THREAD_MAX_CORES = 4


@dataclass
class PacketLog:
    """Statistics of a pass over a clip's packets.

    Attributes:
        packets: Number of packets.
        end_seconds: Latest end of a packet, in the stream's time.
        fault: The first fault that was found; empty if there is none.
    """

    packets: int = 0
    end_seconds: float = 0.0
    fault: str = ""

    def record_fault(self, reason: object) -> None:
        """Record a fault if it is the first."""
        self.fault = self.fault or str(reason)


@dataclass
class _Clock:
    """Converts timestamps into strictly increasing seconds relative to the first frame.

    A missing or non-increasing timestamp is replaced by the previous time plus one frame step.
    """

    time_base: Fraction
    step_seconds: float
    origin: int | None = None
    last_seconds: float = -math.inf

    def seconds(self, pts: int | None) -> float:
        """Return when the next frame in display order is shown."""
        extrapolated = max(0.0, self.last_seconds + self.step_seconds)
        if pts is not None and self.origin is None:
            self.origin = pts - round(extrapolated / self.time_base)
        stored = extrapolated if pts is None or self.origin is None else float((pts - self.origin) * self.time_base)
        self.last_seconds = stored if stored > self.last_seconds else extrapolated
        return self.last_seconds


class BgrConverter:
    """Converts decoded pictures to BGR images. Thread-safe, and shared by a clip's frames as its setup is expensive."""

    def __init__(self) -> None:
        self._reformatter: VideoReformatter | None = None
        self._lock = Lock()  # frames may be converted in the decoder's thread and in their consumer's

    def convert(self, picture: "VideoFrame", size: tuple[int, int]) -> NDArray[np.uint8]:
        """Convert a picture to an image, without applying its rotation.

        Args:
            picture: The decoded picture.
            size: Width and height of the image in pixels.

        Returns:
            Shape (H, W, 3), uint8, BGR.
        """
        is_full_size = size == (picture.width, picture.height)
        if not is_full_size and (image := resize_yuv(picture, size)) is not None:
            return image
        from av.video.reformatter import VideoReformatter

        with self._lock:
            self._reformatter = self._reformatter or VideoReformatter()
            bgr = self._reformatter.reformat(picture, format="bgr24")
        image = np.asarray(bgr.to_ndarray(), dtype=np.uint8)
        return image if is_full_size else resize_image(image, size)


@dataclass(frozen=True)
class DecodedPicture:
    """A picture in the decoder's pixel format, see `video.frames.Picture`."""

    frame: "VideoFrame"
    converter: BgrConverter

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        width, height = self.frame.width, self.frame.height
        return (height, width) if self.frame.rotation and _swaps_axes(self._display_matrix()) else (width, height)

    def image(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return an upright image, see `video.frames.Picture.image`."""
        # PyAV 18 fails on side data of unknown types, so it is only read for rotated clips.
        if not self.frame.rotation:
            return self.converter.convert(self.frame, size or (self.frame.width, self.frame.height))
        matrix = self._display_matrix()
        width, height = size or self.size
        stored_size = (height, width) if _swaps_axes(matrix) else (width, height)
        return _apply_display_matrix(self.converter.convert(self.frame, stored_size), matrix)

    def _display_matrix(self) -> NDArray[np.int32]:
        side_data: Any = self.frame.side_data  # PyAV declares a single key
        return np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), dtype=np.int32).reshape(3, 3)


def _swaps_axes(matrix: NDArray[np.int32]) -> bool:
    """Return whether a display matrix rotates by 90° or 270°."""
    return abs(int(matrix[0, 0])) < abs(int(matrix[0, 1]))


def _apply_display_matrix(image: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Rotate and flip an image (H, W, 3): pixel (x, y) moves to (x, y) @ matrix[:2, :2]."""
    (a, b), (c, d) = matrix[:2, :2]
    if _swaps_axes(matrix):
        image, (a, d) = image.transpose(1, 0, 2), (c, b)
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


@contextmanager
def open_video(clip: Path, loop_filter: bool = True) -> Iterator[tuple["InputContainer", "VideoStream"]]:
    """Open a video file and select its first video stream; cover art of audio files does not count as one.

    Args:
        clip: The file.
        loop_filter: Whether to apply the deblocking filter, see `video.clips.decode_frames`.

    Yields:
        The container and the stream; the file is closed afterwards.

    Raises:
        ClipError: If the file does not exist, cannot be read, or has no video that can be decoded.
    """
    import av
    from av.stream import Disposition

    if not clip.exists():
        raise ClipError(f"{clip}: no such file")
    try:
        # "file:" prevents a file name with a colon from being parsed as a network protocol.
        container = av.open(f"file:{clip}", metadata_errors="replace")
    except av.error.FFmpegError as reason:
        raise ClipError(f"{clip}: not a video that can be read ({reason.strerror})") from None
    with container:
        streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not streams or container.format.name == "tty":  # FFmpeg renders text files as video
            raise ClipError(f"{clip}: there is no video in it")
        if streams[0].codec_context is None:
            raise ClipError(f"{clip}: no decoder is known for its video")
        if not loop_filter:
            streams[0].codec_context.options = {"skip_loop_filter": "all"}
        streams[0].thread_type = "AUTO" if _gains_from_threads(container, streams[0]) else "SLICE"
        yield container, streams[0]


def _gains_from_threads(container: "InputContainer", stream: "VideoStream") -> bool:
    """Return whether to decode several frames in parallel.

    Frame threading costs a quarter more work in total, which is wasted where one thread is fast enough and other work
    needs the cores. It is not used for transport streams: they do not store their length, so a truncated one is only
    recognized by its damaged last frame, which FFmpeg does not mark reliably with frame threading.
    """
    if container.format.name == "mpegts":
        return False
    pixels = stream.codec_context.width * stream.codec_context.height
    return pixels > SINGLE_THREAD_MAX_PIXELS or available_cores() > SINGLE_THREAD_MAX_CORES


def read_packets(container: "InputContainer", stream: "VideoStream", log: PacketLog) -> Iterator["Packet[VideoStream]"]:
    """Yield the complete packets of a stream in file order.

    Args:
        container: The open file.
        stream: One of its streams.
        log: Updated with every packet, and with the first fault.
    """
    from av.error import FFmpegError

    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                log.record_fault("the file contains only a part of a frame")
                continue
            begin = packet.dts if packet.pts is None else packet.pts
            if begin is not None:
                log.end_seconds = max(
                    log.end_seconds, float((begin + (packet.duration or 0)) * stream_time_base(stream))
                )
            log.packets += packet.size > 0 or begin is not None
            if packet.size:  # the decoder takes an empty packet for the end of the stream
                yield packet
    except FFmpegError as reason:
        log.record_fault(reason.strerror)


def decode_packets(
    packets: Iterable["Packet[VideoStream]"], stream: "VideoStream", log: PacketLog
) -> Iterator["VideoFrame"]:
    """Decode packets and flush the decoder; packets that cannot be decoded are skipped.

    Args:
        packets: Packets of the stream.
        stream: The stream, with its decoder.
        log: Updated with the first fault.

    Yields:
        Pictures in display order.
    """
    from av.error import FFmpegError

    for packet in chain(packets, [None]):
        try:
            pictures = stream.codec_context.decode(packet)
        except FFmpegError as reason:
            log.record_fault(reason.strerror)
            continue
        for picture in pictures:
            if picture.is_corrupt:
                log.record_fault("a frame is damaged")
            yield picture


def decode_video(clip: Path, loop_filter: bool = True) -> Generator[Frame, None, None]:
    """Decode every frame of a video file in display order.

    Args:
        clip: The file.
        loop_filter: Whether to apply the deblocking filter, see `video.clips.decode_frames`.

    Yields:
        The frames.

    Raises:
        ClipError: If the file does not exist, is not a video, or nothing in it can be decoded.
        TruncatedClipError: After the last frame that could be decoded, if the file ends early or is damaged.
    """
    with open_video(clip, loop_filter) as (container, stream):
        log, converter = PacketLog(), BgrConverter()
        clock = _Clock(stream_time_base(stream), float(1 / (stream.guessed_rate or ASSUMED_FPS)))
        frames = 0
        for picture in decode_packets(read_packets(container, stream, log), stream, log):
            seconds = frame_duration_seconds(picture, stream)
            yield Frame(frames, clock.seconds(picture.pts), seconds, DecodedPicture(picture, converter))
            frames += 1
        if not frames:
            raise ClipError(f"{clip}: no frame could be decoded ({log.fault or 'it has none'})")
        fault = log.fault or _shortfall(container, stream, log)
        if fault:
            total = f" of {stream.frames}" if stream.frames else ""
            raise TruncatedClipError(f"{clip}: cut off or damaged ({fault}): {frames}{total} frames could be decoded")


def _shortfall(container: "InputContainer", stream: "VideoStream", log: PacketLog) -> str:
    """Describe what is missing compared with the header; empty if nothing is."""
    if container.format.name.startswith("mov") and stream.frames:
        # Frames excluded by an edit list are not missing: the index lacks them, but the sample count includes them.
        expected = min(stream.frames, len(stream.index_entries))
        return f"the file ends after {log.packets} of {expected} packets" if log.packets < expected else ""
    expected_seconds = _header_seconds(container, stream)
    if expected_seconds - log.end_seconds > max(1.0, 0.1 * expected_seconds):
        return f"it ends at {log.end_seconds:.2f} of {expected_seconds:.2f} seconds"
    return ""


def _header_seconds(container: "InputContainer", stream: "VideoStream") -> float:
    """Return when the video ends according to the header, 0 if the header does not specify it."""
    if not container.format.name.startswith(CONTAINERS_WITH_DURATION):
        return 0.0
    if stream.frames and stream.average_rate:
        return float(stream.frames / stream.average_rate)
    if stream.duration:
        return float(stream.duration * stream_time_base(stream))
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))  # Matroska's format
    if tag:
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3])
    # The duration of a container is that of its longest stream, which need not be the video.
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def stream_time_base(stream: "VideoStream") -> Fraction:
    """Return the duration of one unit of the stream's timestamps in seconds."""
    return stream.time_base or Fraction(1, 1_000_000)


def frame_duration_seconds(picture: "VideoFrame", stream: "VideoStream") -> float:
    """Return how long a picture is shown, 0 if the file does not specify it."""
    return max(0.0, float((picture.duration or 0) * stream_time_base(stream)))
