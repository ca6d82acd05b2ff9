"""Sequential decoding of video files with PyAV, and detection of truncated and damaged files."""

import re
from collections import OrderedDict, deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from common.errors import ClipError, TruncatedClipError
from video.clock import Clock, stream_time_base
from video.file_ends import find_cut
from video.frames import Frame
from video.opening import ONE_THREAD_CODECS, STRICT_CODECS, open_video, report_choice
from video.packets import ExpectedFrames, PacketLog, decode_packets, loses_frames, read_packets
from video.pictures import PictureReader

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# FFmpeg only estimates the duration of other containers.
CONTAINERS_WITH_DURATION = ("mov", "matroska", "flv", "avi", "asf")

MAX_REMEMBERED_CLIPS = 4096
_intact_frames: OrderedDict[tuple[str, int, int, int], int] = (
    OrderedDict()
)  # by identity of the file; 0 if damaged or out of order
_intact_frames_lock = Lock()


class _DecodingError(Exception):
    """The decoder found a fault in the first pass, when several threads may have been at work."""


def decode_video(clip: Path, loop_filter: bool = True) -> Generator[Frame, None, None]:
    """Decode every frame of a video file in display order.

    What several threads make of damaged frames depends on chance. Once the decoder finds a fault, the clip is therefore
    decoded again in one thread, and the frames that were yielded already are skipped.

    The decoder of H.265 stops at damage only if asked to, which would cost the frame; the second pass does not ask.

    Args:
        clip: The file.
        loop_filter: Whether to apply the deblocking filter, see `video.clips.decode_frames`.

    Yields:
        The frames.

    Raises:
        ClipError: If the file does not exist, is not a video, or nothing in it can be decoded.
        TruncatedClipError: After the last frame that could be decoded, if the file ends early or is damaged.
    """
    frames = 0
    try:
        for frame in _decode(clip, loop_filter):
            frames += 1
            yield frame
    except _DecodingError as reason:
        yield from islice(_decode(clip, loop_filter, known_fault=str(reason)), frames, None)


def _decode(clip: Path, loop_filter: bool, known_fault: str | None = None) -> Iterator[Frame]:
    """Decode a clip in a first pass, or again after that found a fault."""
    one_thread = known_fault is not None
    with open_video(clip, loop_filter, one_thread) as (container, stream):
        if not one_thread:
            report_choice(clip, container.streams.video, stream)
        detach = one_thread or stream.codec_context.name in ONE_THREAD_CODECS
        log, reader, clock = PacketLog(), PictureReader(stream, detach), Clock.of_stream(container, stream)
        if known_fault and stream.codec_context.name in STRICT_CODECS:
            log.record_fault(known_fault, decoding_failed=True)
        held: deque[Frame] = deque()
        frames = 0
        for picture in _pictures(container, stream, log, is_first_pass=not one_thread):
            seconds = clock.seconds(picture.pts)
            duration, stored = clock.duration_seconds(picture.duration), clock.stored_seconds(picture.pts)
            held.append(Frame(frames, seconds, duration, reader.read(picture), stored))
            frames += 1
            # A frame that turns out to be damaged has affected those that are shown before it but were decoded after.
            if one_thread or len(held) > stream.codec_context.reorder_depth:
                yield held.popleft()
        yield from held
        fault = log.fault or _shortfall(container, stream, log) or find_cut(clip, container.format.name)
        _remember(clip, frames if clock.is_ordered and not fault else 0)
        if not frames:
            raise ClipError(f"{clip}: no frame could be decoded ({fault or 'it has none'})")
        if fault:
            total = f" of {stream.frames}" if frames < stream.frames else ""
            raise TruncatedClipError(f"{clip}: cut off or damaged ({fault}): {frames}{total} frames could be decoded")


def _pictures(
    container: "InputContainer", stream: "VideoStream", log: PacketLog, is_first_pass: bool
) -> Iterator["VideoFrame"]:
    """Decode the pictures of a stream.

    Raises:
        _DecodingError: At the first fault that the decoder finds in a first pass.
    """
    expected = ExpectedFrames(log) if loses_frames(stream) else None
    packets = read_packets(container, stream, log)
    for picture in decode_packets(expected.note(packets) if expected else packets, stream, log):
        if expected:
            expected.check(picture.pts)
        if log.decoding_failed and is_first_pass:
            raise _DecodingError(log.fault)
        yield picture
    if expected:
        expected.check_end()
    if log.decoding_failed and is_first_pass:
        raise _DecodingError(log.fault)


def count_intact_frames(clip: Path) -> int:
    """Return the number of frames of a video file without faults, and 0 for one that is truncated or damaged.

    The file is decoded unless that was done before.

    Raises:
        ClipError: As for `decode_video`.
    """
    identity = _identity(clip)
    with _intact_frames_lock:
        known = _intact_frames.get(identity) if identity else None
    if known is not None:
        return known
    with suppress(TruncatedClipError):
        return sum(1 for _ in decode_video(clip))
    return 0


def _remember(clip: Path, intact_frames: int) -> None:
    if identity := _identity(clip):
        with _intact_frames_lock:
            _intact_frames[identity] = intact_frames
            if len(_intact_frames) > MAX_REMEMBERED_CLIPS:
                _intact_frames.popitem(last=False)


def _identity(clip: Path) -> tuple[str, int, int, int] | None:
    """Identify the contents of a file without reading them."""
    try:
        status = clip.stat()
    except OSError:
        return None
    return str(clip.absolute()), status.st_ino, status.st_size, status.st_mtime_ns


def _shortfall(container: "InputContainer", stream: "VideoStream", log: PacketLog) -> str:
    """Describe what is missing compared with the header; empty if nothing is."""
    if container.format.name.startswith("mov") and stream.frames:
        # Frames excluded by an edit list are not missing: the index lacks them, but the sample count includes them.
        expected = min(stream.frames, len(stream.index_entries))
        return f"the file ends after {log.packets} of {expected} packets" if log.packets < expected else ""
    expected_seconds = _header_seconds(container, stream)
    # Headers are imprecise, and state the end of the sound in place of the video's.
    if expected_seconds - log.end_seconds > max(0.1 * expected_seconds, min(1.0, 0.1 + 0.25 * expected_seconds)):
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
