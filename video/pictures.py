"""Decoded pictures of video files, converted on demand to upright BGR images with square pixels.

PyAV is imported when a picture is first converted, so that importing this module is cheap.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.errors import ClipError
from video.frames import resize_image
from video.hdr import is_hdr, tone_mapped
from video.orientation import UPRIGHT, Orientation, display_size, read_orientation
from video.yuv import resize_yuv

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

UNSPECIFIED = 2  # of FFmpeg's AVColorSpace, AVColorTransferCharacteristic and AVColorPrimaries

MAX_PIXELS = 1 << 26
"""Maximum number of pixels of a frame, 8192×8192; 8K video has half as many."""


class BgrConverter:
    """Converts decoded pictures to BGR images. Thread-safe, and shared by a clip's frames as its setup is expensive."""

    def __init__(self) -> None:
        self._reformatter: VideoReformatter | None = None
        self._lock = Lock()  # frames may be converted in the decoder's thread and in their consumer's

    def convert(self, picture: "VideoFrame", size: tuple[int, int]) -> NDArray[np.uint8]:
        """Convert a picture to an image, without turning it upright.

        Args:
            picture: The decoded picture.
            size: Width and height of the image in pixels.

        Returns:
            Shape (H, W, 3), uint8, BGR.
        """
        if is_hdr(picture):
            signal = self._reformat(picture, "rgb48le", size)
            return tone_mapped(signal, picture.color_trc, picture.color_primaries)
        is_full_size = size == (picture.width, picture.height)
        if not is_full_size and (image := resize_yuv(picture, size)) is not None:
            return image
        image = np.asarray(self._reformat(picture, "bgr24", (picture.width, picture.height)), dtype=np.uint8)
        return image if is_full_size else resize_image(image, size)

    def _reformat(self, picture: "VideoFrame", pixel_format: str, size: tuple[int, int]) -> NDArray[Any]:
        """Convert a picture to another pixel format.

        Raises:
            ClipError: If FFmpeg cannot do so.
        """
        from av.error import FFmpegError
        from av.video.reformatter import VideoReformatter

        with self._lock:
            self._reformatter = self._reformatter or VideoReformatter()
            try:
                # By default, a thread per core shares the work: longer than the work itself, if the cores are busy.
                converted = self._reformatter.reformat(
                    picture, *size, format=pixel_format, interpolation="BILINEAR", threads=1
                )
            except FFmpegError:  # colours that FFmpeg does not know, or that are not defined
                picture.colorspace = picture.color_trc = picture.color_primaries = UNSPECIFIED
                try:
                    converted = self._reformatter.reformat(picture, *size, format=pixel_format, threads=1)
                except FFmpegError as reason:
                    raise ClipError(
                        f"a {picture.format.name} picture cannot be converted ({reason.strerror})"
                    ) from None
        return converted.to_ndarray()


@dataclass(frozen=True)
class DecodedPicture:
    """A picture in the decoder's pixel format, see `video.frames.Picture`.

    Attributes:
        frame: The picture as stored.
        display_size: Width and height at which its pixels are square, not yet turned upright.
        orientation: How it is turned upright.
        converter: Converts its pixels.
    """

    frame: "VideoFrame"
    display_size: tuple[int, int]
    orientation: Orientation
    converter: BgrConverter

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as displayed."""
        return self.orientation.size(self.display_size)

    def image(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return an image as displayed, see `video.frames.Picture.image`."""
        stored_size = self.display_size if size is None else self.orientation.size(size)
        image = self.converter.convert(self.frame, stored_size)
        return image if self.orientation == UPRIGHT else self.orientation.apply(image)


class PictureReader:
    """Determines how the pictures of one stream, in display order, are displayed.

    Args:
        stream: The open stream.
        detach: Whether to copy the pixels out of the decoder's memory. A decoder that meets damage may show what its
            memory held before, which then does not depend on how long other pictures are kept.
    """

    def __init__(self, stream: "VideoStream", detach: bool = False) -> None:
        self._codec = stream.codec_context
        self._detach = detach
        # FFmpeg's order of precedence: the container's ratio, then that of the video, which may change.
        container_ratio = stream.sample_aspect_ratio
        self._fixed_ratio = container_ratio if container_ratio != self._codec.sample_aspect_ratio else None
        self._stored_size = (0, 0)
        self._display_size = (0, 0)
        self._converter = BgrConverter()

    def read(self, frame: "VideoFrame") -> DecodedPicture:
        """Return a decoded picture as it is displayed."""
        size = (frame.width, frame.height)
        if frame.key_frame or size != self._stored_size:  # the ratio cannot change in between
            ratio: Fraction | None = self._fixed_ratio or self._codec.sample_aspect_ratio
            self._stored_size, self._display_size = size, display_size(size, ratio, MAX_PIXELS)
        orientation = read_orientation(frame)
        if self._detach:
            frame = _copy_pixels(frame)
        return DecodedPicture(frame, self._display_size, orientation, self._converter)


def _copy_pixels(frame: "VideoFrame") -> "VideoFrame":
    """Copy the pixels of a picture, and the properties that tell their colours."""
    from av import VideoFrame

    if frame.format.name == "pal8":  # its palette is no ordinary plane
        return frame
    copy = VideoFrame(frame.width, frame.height, frame.format.name)
    for source, target in zip(frame.planes, copy.planes, strict=True):
        rows = np.frombuffer(memoryview(source), np.uint8).reshape(source.height, -1)[
            :: 1 if source.line_size > 0 else -1
        ]
        copied = np.frombuffer(memoryview(target), np.uint8).reshape(target.height, -1)
        columns = min(rows.shape[1], copied.shape[1])
        copied[:, :columns] = rows[:, :columns]
    copy.colorspace, copy.color_range = frame.colorspace, frame.color_range
    copy.color_trc, copy.color_primaries = frame.color_trc, frame.color_primaries
    return copy


@cache
def is_convertible(pixel_format: str) -> bool:
    """Return whether FFmpeg can convert pictures of a pixel format to BGR."""
    from av import VideoFrame
    from av.error import FFmpegError

    try:
        VideoFrame(16, 16, pixel_format).reformat(format="bgr24")
    except (FFmpegError, ValueError):
        return False
    return True
