"""How a stored picture is shown: turned and flipped by its display matrix, and scaled by its pixel aspect ratio."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

DISPLAY_MATRIX = "DISPLAYMATRIX"
FIRST_UNNAMED_SIDE_DATA = 28  # AVFrameSideDataType; PyAV 18 has names for those before
SIDE_DATA_TYPES = 40  # more than FFmpeg has

# Encoders that round a size leave ratios next to 1, such as 640:639.
SQUARE_TOLERANCE = 0.02
MAX_PIXEL_ASPECT = 10  # anamorphic formats stay below 3; larger ratios, in either direction, are faults and are ignored


@dataclass(frozen=True)
class Orientation:
    """How to turn a stored picture upright: first transposed, then flipped.

    Attributes:
        transposed: Whether rows and columns are exchanged.
        flipped_x: Whether it is flipped horizontally afterwards.
        flipped_y: Whether it is flipped vertically afterwards.
    """

    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False

    @classmethod
    def from_matrix(cls, matrix: NDArray[np.int32]) -> "Orientation":
        """Read a display matrix (3, 3): pixel (x, y) is shown at (x, y) @ matrix[:2, :2].

        Any other angle than a multiple of 90° becomes the nearest one, and a matrix that is not invertible is ignored.

        >>> Orientation.from_matrix(np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.int32))
        Orientation(transposed=True, flipped_x=True, flipped_y=False)
        """
        a, b, c, d = (int(value) for value in matrix[:2, :2].flat)
        if a * d == b * c:
            return UPRIGHT
        transposed = abs(a) + abs(d) < abs(b) + abs(c)
        if transposed:
            a, d = c, b
        return cls(transposed, a < 0, d < 0)

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Convert a width and height from stored to upright, or back."""
        return (size[1], size[0]) if self.transposed else size

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn an image (H, W, 3) upright."""
        if self.transposed:
            image = image.transpose(1, 0, 2)
        return np.ascontiguousarray(image[:: -1 if self.flipped_y else 1, :: -1 if self.flipped_x else 1])


UPRIGHT = Orientation()


def read_orientation(frame: "VideoFrame") -> Orientation:
    """Read how a decoded picture is turned, from the container or from the video itself."""
    try:
        side_data = _side_data(frame)
    except ValueError:  # PyAV has no name for one of its types
        named = _with_named_side_data(frame)
        side_data = _side_data(named) if named else {}
    try:
        matrix = bytes(side_data[DISPLAY_MATRIX])
    except KeyError:
        return UPRIGHT
    return _orientation(matrix)


def _side_data(frame: "VideoFrame") -> Any:
    """Read the side data of a picture, by type.

    `frame.side_data` would keep the picture in memory until Python next collects cycles, as it refers to the picture
    and the picture to it: hundreds of megabytes within some clips.
    """
    from av.sidedata import sidedata

    container: Any = sidedata.SideDataContainer  # PyAV declares no constructor
    return container(frame)


@cache
def _orientation(matrix: bytes) -> Orientation:
    if len(matrix) != 9 * 4:
        return UPRIGHT
    return Orientation.from_matrix(np.frombuffer(matrix, dtype=np.int32).reshape(3, 3))


def _with_named_side_data(frame: "VideoFrame") -> "VideoFrame | None":
    """Return a reference to a picture without the side data that PyAV has no name for, such as EXIF of photographs."""
    from av.error import FFmpegError
    from av.filter import Graph

    try:
        graph = Graph()
        steps = [
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)),
            *(
                graph.add("sidedata", f"mode=delete:type={number}")
                for number in range(FIRST_UNNAMED_SIDE_DATA, SIDE_DATA_TYPES)
            ),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*steps).configure()
        graph.push(frame)
        named = cast("VideoFrame", graph.pull())
        _side_data(named)  # fails if there is another unknown type
    except (FFmpegError, ValueError):
        return None
    return named


def display_size(size: tuple[int, int], pixel_aspect: Fraction | None, max_pixels: int) -> tuple[int, int]:
    """Compute the size at which a picture has square pixels: its width is scaled, as by players.

    Args:
        size: Stored width and height, pixels.
        pixel_aspect: Width of a stored pixel relative to its height; None, 0 or an absurd value counts as 1.
        max_pixels: Where the picture would become larger, its height is reduced instead.

    >>> display_size((720, 576), Fraction(64, 45), 1 << 26)
    (1024, 576)
    >>> display_size((720, 576), Fraction(1, 1000), 1 << 26)
    (720, 576)
    """
    if not pixel_aspect or not Fraction(1, MAX_PIXEL_ASPECT) <= pixel_aspect <= MAX_PIXEL_ASPECT:
        return size
    if abs(pixel_aspect - 1) < SQUARE_TOLERANCE:
        return size
    width, height = size
    if width * height * pixel_aspect > max_pixels:
        return width, max(1, round(height / pixel_aspect))
    return max(1, round(width * pixel_aspect)), height
