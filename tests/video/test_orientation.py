"""Display matrices and pixel aspect ratios: frames as players show them."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from bad_videos_foreign import _image
from bad_videos_unusual import Video
from fake_clips import grey, read_all

from video.clips import decode_frames, read_frames_at
from video.orientation import UPRIGHT, Orientation, display_size, read_orientation

ONE, W = 1 << 16, 1 << 30
TALL = (48, 64)

MATRICES = {
    "identity": ((ONE, 0, 0, ONE), lambda image: image),
    "flipped vertically": ((ONE, 0, 0, -ONE), lambda image: image[::-1]),
    "flipped horizontally": ((-ONE, 0, 0, ONE), lambda image: image[:, ::-1]),
    "turned by 180": ((-ONE, 0, 0, -ONE), lambda image: image[::-1, ::-1]),
    "turned clockwise": ((0, ONE, -ONE, 0), lambda image: np.rot90(image, -1)),
    "turned counter-clockwise": ((0, -ONE, ONE, 0), lambda image: np.rot90(image)),
    "transposed": ((0, ONE, ONE, 0), lambda image: image.transpose(1, 0, 2)),
    "transposed the other way": ((0, -ONE, -ONE, 0), lambda image: np.rot90(image, 2).transpose(1, 0, 2)),
    "turned by 30": ((56756, 32768, -32768, 56756), lambda image: image),
    "turned by 60": ((32768, 56756, -56756, 32768), lambda image: np.rot90(image, -1)),
    "sheared": ((ONE, ONE // 3, 0, ONE), lambda image: image),
    "not invertible": ((0, 0, 0, 0), lambda image: image),
    "of rank 1": ((ONE, ONE, ONE, ONE), lambda image: image),
}


@pytest.mark.parametrize("name", MATRICES)
def test_display_matrix_is_applied(tmp_path: Path, name: str) -> None:
    (a, b, c, d), expected = MATRICES[name]
    stored = read_all(Video(frames=2).write(tmp_path / "stored.mkv"))
    clip = Video(frames=2, matrix=(a, b, 0, c, d, 0, 0, 0, W)).write(tmp_path / "turned.mkv")
    turned = read_all(clip)
    np.testing.assert_array_equal(turned.images[1], expected(stored.images[1]))
    np.testing.assert_array_equal(read_frames_at(clip, [1]).images[0], turned.images[1])
    small = next(decode_frames(clip)).image((turned.images.shape[2] // 2, turned.images.shape[1] // 2))
    halves = cv2.resize(turned.images[0], small.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(small.astype(int) - halves).mean() < 3


@pytest.mark.parametrize(
    ("orientation", "size", "corner"), [(1, (64, 48), (0, 0)), (4, (64, 48), (1, 0)), (6, TALL, (0, 1))]
)
def test_exif_orientation_of_photographs(
    tmp_path: Path, orientation: int, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    """PyAV has no name for the side data in which FFmpeg hands EXIF on."""
    clip = tmp_path / "photo.jpg"
    clip.write_bytes(_image("JPEG", orientation))
    image = read_all(clip).images[0].astype(int)
    assert image.shape == (size[1], size[0], 3)
    rows, columns = np.nonzero(np.abs(image[..., 0] - image[..., 2]) > 100)
    found = (int(rows.mean() > image.shape[0] / 2), int(columns.mean() > image.shape[1] / 2))
    assert found == corner


def test_pictures_without_side_data_are_upright() -> None:
    assert read_orientation(av.VideoFrame.from_ndarray(grey(0, (64, 48)), format="bgr24")) == UPRIGHT
    assert Orientation.from_matrix(np.zeros((3, 3), np.int32)) == UPRIGHT


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (None, (720, 576)),
        (Fraction(0), (720, 576)),
        (Fraction(1), (720, 576)),
        (Fraction(16, 15), (768, 576)),
        (Fraction(64, 45), (1024, 576)),
        (Fraction(1, 2), (360, 576)),
        (Fraction(10), (7200, 576)),
        (Fraction(640, 639), (720, 576)),
        (Fraction(1, 1000), (720, 576)),
        (Fraction(1000), (720, 576)),
        (Fraction(-2), (720, 576)),
    ],
)
def test_display_size_has_square_pixels(aspect: Fraction | None, size: tuple[int, int]) -> None:
    assert display_size((720, 576), aspect, 1 << 26) == size


def test_display_size_is_bounded() -> None:
    assert display_size((8192, 4096), Fraction(4), 1 << 26) == (8192, 1024)
    assert display_size((1, 1), Fraction(1, 10), 1 << 26) == (1, 1)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov"])
@pytest.mark.parametrize(("aspect", "width"), [(Fraction(1, 2), 32), (Fraction(2), 128), (Fraction(640, 639), 64)])
def test_pixel_aspect_is_applied(tmp_path: Path, suffix: str, aspect: Fraction, width: int) -> None:
    square = read_all(Video().write(tmp_path / f"square.{suffix}"))
    clip = Video(properties={"sample_aspect_ratio": aspect}).write(tmp_path / f"clip.{suffix}")
    shown = read_all(clip)
    assert shown.images.shape == (4, 48, width, 3)
    expected = cv2.resize(square.images[2], (width, 48), interpolation=cv2.INTER_LINEAR)
    assert np.abs(shown.images[2].astype(int) - expected).mean() < 3
    assert next(decode_frames(clip)).size == (width, 48)
    np.testing.assert_array_equal(read_frames_at(clip, [2]).images[0], shown.images[2])


def test_pixel_aspect_belongs_to_the_stored_picture(tmp_path: Path) -> None:
    properties = {"sample_aspect_ratio": Fraction(2)}
    clip = Video(properties=properties, matrix=(0, ONE, 0, -ONE, 0, 0, 0, 0, W)).write(tmp_path / "clip.mp4")
    assert read_all(clip).images.shape == (4, 128, 48, 3)


def test_pixel_aspect_may_change_midway(tmp_path: Path) -> None:
    parts = [
        Video(frames=30, options={"sc_threshold": "0"}, properties={"sample_aspect_ratio": aspect}).write(
            tmp_path / f"{number}.ts"
        )
        for number, aspect in enumerate((Fraction(1), Fraction(2), Fraction(1, 2)))
    ]
    clip = tmp_path / "joined.ts"
    clip.write_bytes(b"".join(part.read_bytes() for part in parts))
    widths = [frame.size[0] for frame in decode_frames(clip)]
    assert widths == [64] * 30 + [128] * 30 + [32] * 30
    assert [image.shape[1] for image in read_frames_at(clip, [29, 30, 59, 60]).images] == [64, 128, 128, 32]
