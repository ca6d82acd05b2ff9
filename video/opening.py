"""Opening video files with PyAV: which formats are read, which of several streams, and with how many threads.

PyAV is imported when a clip is first opened, so that importing this module is cheap.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ClipError
from common.system import available_cores
from video.clip_paths import require_regular_file
from video.pictures import MAX_PIXELS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Up to both limits, a single thread decodes faster than the detector consumes frames.
SINGLE_THREAD_MAX_PIXELS = 640 * 480
SINGLE_THREAD_MAX_CORES = 4

MAX_PIXELS_IN_FLIGHT = MAX_PIXELS  # over all threads that decode a frame each
MAX_THREADS = 16
ONE_THREAD_CODECS = {"vp8", "mjpeg"}  # damage that they do not report would look different with every number of threads
STRICT_CODECS = {"hevc"}  # report damaged parts of a frame only if asked to stop there
UNRELIABLE_CODECS = {"h264"}  # with several threads, report them reliably only if asked to stop there
MAX_STREAMS = 100

# Playlists and the like name other files or addresses, which would be opened in place of the clip.
REFERRING_FORMATS = {
    *("hls", "dash", "concat", "sdp", "rtsp", "rtp", "sap", "imf", "webm_dash_manifest", "lavfi", "avisynth"),
    *("vapoursynth", "smoothstreaming", "hds"),
}
TEXT_FORMATS = {"tty"}  # FFmpeg renders text files as video

IMAGE_CODECS = {"mjpeg", "mjpegb", "jpegls", "png", "apng", "bmp", "gif", "tiff", "webp", "ppm", "jpeg2000", "jpegxl"}


@contextmanager
def open_video(
    clip: Path, loop_filter: bool = True, one_thread: bool = False
) -> Iterator[tuple["InputContainer", "VideoStream"]]:
    """Open a video file and select the video stream that players show.

    Args:
        clip: The file.
        loop_filter: Whether to apply the deblocking filter, see `video.clips.decode_frames`.
        one_thread: Whether to decode in a single thread, so that even damaged frames are always the same.

    Yields:
        The container and the stream; the file is closed afterwards.

    Raises:
        ClipError: If the file does not exist, cannot be read, or has no video that can be decoded.
    """
    with open_container(clip) as container:
        stream = select_stream(container)
        if stream is None or container.format.name in TEXT_FORMATS:
            raise ClipError(f"{clip}: there is no video in it")
        codec = stream.codec_context
        if codec is None:
            raise ClipError(f"{clip}: no decoder is known for its video")
        if codec.width * codec.height > MAX_PIXELS:
            raise ClipError(
                f"{clip}: frames of {codec.width}x{codec.height} pixels are too large: up to {MAX_PIXELS:,} pixels, "
                "such as 8192x8192, can be read"
            )
        _set_threads(container, stream, one_thread)
        codec.options = {"max_pixels": str(MAX_PIXELS)} | ({} if loop_filter else {"skip_loop_filter": "all"})
        if not one_thread and codec.name in STRICT_CODECS | (UNRELIABLE_CODECS if codec.thread_count > 1 else set()):
            codec.options |= {"err_detect": "explode"}
        yield container, stream


@contextmanager
def open_container(clip: Path) -> Iterator["InputContainer"]:
    """Open a video file, without references to other files.

    Args:
        clip: The file.

    Yields:
        The container; the file is closed afterwards.

    Raises:
        ClipError: If the file does not exist, or cannot be read.
    """
    import av

    _check_is_file(clip)
    options = {
        "format_whitelist": _formats(),
        "protocol_whitelist": "file",
        "pattern_type": "none",  # a % in the name of an image file is no pattern
        "max_pixels": str(MAX_PIXELS),
        "max_streams": str(MAX_STREAMS),
    }
    try:
        # "file:" prevents a file name with a colon from being parsed as a network protocol.
        container = av.open(
            f"file:{clip}",
            options=options if _decoders_take_options() else None,
            container_options=None if _decoders_take_options() else options,
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, ValueError) as reason:  # ValueError: a zero byte in the name
        raise ClipError(f"{clip}: not a video that can be read ({_text(reason)})") from None
    except MemoryError:
        raise ClipError(f"{clip}: not a video that can be read (its header claims more than fits in memory)") from None
    with container:
        yield container


def _check_is_file(clip: Path) -> None:
    try:
        require_regular_file(clip)
    except FileNotFoundError:
        raise ClipError(f"{clip}: no such file") from None
    except (OSError, ValueError) as reason:
        raise ClipError(f"{clip}: cannot be opened ({_text(reason)})") from None


def _text(reason: Exception) -> str:
    return getattr(reason, "strerror", None) or str(reason)


@cache
def _decoders_take_options() -> bool:
    """Return whether PyAV can pass options to decoders while it opens a file; PyAV 17 crashes on FLV if it does."""
    import av

    return int(av.__version__.split(".")[0]) >= 18


@cache
def _formats() -> str:
    """List the container formats that are read, as FFmpeg expects it."""
    from av import formats_available

    return ",".join(sorted(name for name in formats_available if not REFERRING_FORMATS.intersection(name.split(","))))


def _set_threads(container: "InputContainer", stream: "VideoStream", one_thread: bool) -> None:
    """Choose whether several threads decode frames in parallel.

    Frame threading costs a quarter more work in total, which is wasted where one thread is fast enough and other work
    needs the cores. It is not used for transport streams: they do not store their length, so a truncated one is only
    recognized by its damaged last frame, which FFmpeg does not mark reliably with frame threading. Threads for the
    slices of a frame are never used: with them, FFmpeg neither conceals nor reports damage in H.264.
    """
    codec = stream.codec_context
    pixels, cores = max(1, codec.width * codec.height), available_cores()
    is_small = pixels <= SINGLE_THREAD_MAX_PIXELS and cores <= SINGLE_THREAD_MAX_CORES
    codec.thread_type = "FRAME"
    if one_thread or is_small or container.format.name == "mpegts" or codec.name in ONE_THREAD_CODECS:
        codec.thread_count = 1
    else:
        threads = cores + 1 if cores > 1 else 1  # as FFmpeg does by default
        codec.thread_count = max(1, min(threads, MAX_THREADS, MAX_PIXELS_IN_FLIGHT // pixels))


def select_stream(container: "InputContainer") -> "VideoStream | None":
    """Select the video stream that players show: FFmpeg's choice, unless that is a cover or a thumbnail.

    FFmpeg prefers a stream that is marked as default, then the one with more frames, then the higher bit rate. Streams
    of one frame, or of images such as JPEG, give way to others even if they are not marked as thumbnails.
    """
    from av.stream import Disposition

    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    thumbnails = Disposition.timed_thumbnails | Disposition.still_image
    for is_preferred in (
        lambda stream: stream.codec_context is not None,
        lambda stream: not stream.disposition & thumbnails,
        lambda stream: stream.frames != 1,
        lambda stream: stream.codec_context is None or stream.codec_context.name not in IMAGE_CODECS,
    ):
        streams = [stream for stream in streams if is_preferred(stream)] or streams
    best = container.streams.best("video")
    for stream in streams:
        if best is not None and stream.index == best.index:
            return stream
    return max(streams, key=lambda stream: bool(stream.disposition & Disposition.default), default=None)


def report_choice(clip: Path, streams: Sequence["VideoStream"], selected: "VideoStream") -> None:
    """Tell the user which of several video streams is read."""
    from av.stream import Disposition

    others = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    if len(others) > 1:
        logging.getLogger(__name__).warning(
            "%s: of its %d video streams, number %d is read (%dx%d, %s)",
            *(clip, len(others), selected.index, selected.width, selected.height, selected.codec_context.name),
        )
