"""Resizing the YUV planes equals resizing the BGR image, up to rounding."""

import av
import cv2
import numpy as np
import pytest

from video.clips import decode_frames
from video.pictures import BgrConverter, is_convertible
from video.yuv import resize_yuv, yuv_to_bgr_matrix

SIZE = (224, 126)
KIT_CLIPS = {
    "unmarked": "dog-walking__ground-a-video-dog-walking.mp4",
    "BT.709": "car-running__intel-iot-devkit-person-bicycle-car-detection.mp4",
}


@pytest.fixture(params=["demo", *KIT_CLIPS])
def frame(request, demo_clip):
    """The first frame of the demo clip, or of a real one."""
    clip = demo_clip
    if request.param != "demo":
        clip = request.getfixturevalue("kit") / "clips" / KIT_CLIPS[request.param]
    return next(decode_frames(clip))


def test_resized_frames_equal_resized_images_up_to_rounding(frame):
    whole = cv2.resize(frame.image(), SIZE, interpolation=cv2.INTER_LINEAR)
    small = frame.image(SIZE)
    assert small.shape == (126, 224, 3)
    difference = np.abs(whole.astype(int) - small)
    assert difference.mean() < 2.5
    assert np.percentile(difference, 99) <= 12


def uniform_picture(pixel_format: str, color_range: int, colorspace: int = 0) -> "av.VideoFrame":
    """Create a uniform picture (blue 200, green 100, red 40) with FFmpeg's own conversion."""
    image = np.full((64, 96, 3), (200, 100, 40), np.uint8)
    converted = av.VideoFrame.from_ndarray(image, format="bgr24")
    converted = converted.reformat(format=pixel_format, dst_color_range=color_range, dst_colorspace=colorspace or None)
    converted.color_range = color_range
    if colorspace:
        converted.colorspace = colorspace
    return converted


@pytest.mark.parametrize(
    ("pixel_format", "color_range", "colorspace"),
    [("yuv420p", 1, 0), ("yuvj420p", 2, 0), ("yuv420p", 2, 0), ("yuv420p", 1, 1)],
    ids=["default", "full range by format", "full range by flag", "BT.709"],
)
def test_resize_yuv_preserves_colours(pixel_format, color_range, colorspace):
    small = resize_yuv(uniform_picture(pixel_format, color_range, colorspace), (48, 32))
    assert small.shape == (32, 48, 3)
    np.testing.assert_allclose(small.reshape(-1, 3).mean(axis=0), (200, 100, 40), atol=2.5)


def test_yuv_to_bgr_matrix_maps_black_and_white():
    for full_range, black, white in ((False, 16, 235), (True, 0, 255)):
        matrix = yuv_to_bgr_matrix(0, full_range)
        np.testing.assert_allclose(matrix @ [black, 128, 128, 1], 0, atol=1e-3)
        np.testing.assert_allclose(matrix @ [white, 128, 128, 1], 255, atol=1e-3)


def test_resize_yuv_rejects_other_formats():
    assert resize_yuv(uniform_picture("yuv444p", 1), (48, 32)) is None


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "gray", "rgb24"])
@pytest.mark.parametrize("value", [0, 2, 3, 8, 14, 17, 229])
def test_unknown_colour_properties_are_ignored(pixel_format, value):
    """Damaged headers hold values that FFmpeg has no name for, or cannot convert."""
    picture = uniform_picture(pixel_format, 1)
    picture.colorspace = picture.color_primaries = picture.color_trc = value
    image = BgrConverter().convert(picture, (96, 64))
    assert image.shape == (64, 96, 3)
    assert image.std(axis=(0, 1)).max() < 1  # dithered


def test_pictures_in_every_pixel_format_are_converted_or_refused():
    formats = sorted(av.codec.Codec("rawvideo", "w").video_formats or [], key=lambda found: found.name)
    assert len(formats) > 50 or not formats
    for name in [found.name for found in formats]:
        if is_convertible(name):
            assert BgrConverter().convert(av.VideoFrame(32, 16, name), (32, 16)).shape == (16, 32, 3)
