"""Small images from the decoder's planes are those that shrinking the whole image gives, but for rounding."""

import av
import cv2
import numpy as np
import pytest

from video.clips import decode_frames
from video.yuv import resize_yuv, yuv_to_bgr_matrix

SIZE = (224, 126)
CLIPS = {
    "unmarked": "dog-walking__ground-a-video-dog-walking.mp4",
    "BT.709": "car-running__intel-iot-devkit-person-bicycle-car-detection.mp4",
}


@pytest.mark.parametrize("name", CLIPS.values(), ids=CLIPS)
def test_real_frames_shrink_as_whole_images_do(kit, name):
    frame = next(decode_frames(kit / "clips" / name))
    whole = cv2.resize(frame.image(), SIZE, interpolation=cv2.INTER_LINEAR)
    small = frame.image(SIZE)
    assert small.shape == (126, 224, 3)
    difference = np.abs(whole.astype(int) - small)
    assert difference.mean() < 2.5
    assert np.percentile(difference, 99) <= 12


def picture(kind: str, color_range: int, colorspace: int = 0) -> "av.VideoFrame":
    """A picture in one colour, as FFmpeg itself makes it of an image, blue 200, green 100, red 40."""
    image = np.full((64, 96, 3), (200, 100, 40), np.uint8)
    made = av.VideoFrame.from_ndarray(image, format="bgr24")
    made = made.reformat(format=kind, dst_color_range=color_range, dst_colorspace=colorspace or None)
    made.color_range = color_range
    if colorspace:
        made.colorspace = colorspace
    return made


@pytest.mark.parametrize(
    ("kind", "color_range", "colorspace"),
    [("yuv420p", 1, 0), ("yuvj420p", 2, 0), ("yuv420p", 2, 0), ("yuv420p", 1, 1)],
    ids=["usual", "full range by format", "full range by mark", "BT.709"],
)
def test_colours_come_back(kind, color_range, colorspace):
    small = resize_yuv(picture(kind, color_range, colorspace), (48, 32))
    assert small.shape == (32, 48, 3)
    np.testing.assert_allclose(small.reshape(-1, 3).mean(axis=0), (200, 100, 40), atol=2.5)


def test_white_and_black_are_white_and_black():
    for full_range, black, white in ((False, 16, 235), (True, 0, 255)):
        matrix = yuv_to_bgr_matrix(0, full_range)
        np.testing.assert_allclose(matrix @ [black, 128, 128, 1], 0, atol=1e-3)
        np.testing.assert_allclose(matrix @ [white, 128, 128, 1], 255, atol=1e-3)


def test_other_formats_take_the_long_way():
    assert resize_yuv(picture("yuv444p", 1), (48, 32)) is None
