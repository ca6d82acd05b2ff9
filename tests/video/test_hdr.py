"""Tone mapping of HDR pictures, against values computed from the standards."""

import av
import numpy as np
import pytest

from video.hdr import HLG, PEAK, PQ, map_tones
from video.pictures import BgrConverter


def pq_code(nits: float) -> float:
    """Compute the PQ signal of a luminance, SMPTE ST 2084."""
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def srgb(light: float) -> float:
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


def grey_signal(code: float) -> np.ndarray:
    return np.full((1, 1, 3), round(65535 * code), np.uint16)


@pytest.mark.parametrize("nits", [0, 1, 5, 20, 60])
def test_dark_and_middle_tones_are_unchanged(nits: float) -> None:
    np.testing.assert_allclose(map_tones(grey_signal(pq_code(nits)), PQ)[0, 0], srgb(nits / 203), atol=1)


@pytest.mark.parametrize(("nits", "expected"), [(100, 180), (203, 215), (1000, 255), (10_000, 255)])
def test_bright_tones_are_compressed(nits: float, expected: int) -> None:
    np.testing.assert_allclose(map_tones(grey_signal(pq_code(nits)), PQ)[0, 0], expected, atol=1)


def test_hlg_reference_white_is_as_bright_as_that_of_pq() -> None:
    """75 % of HLG is 203 cd/m² on a display of 1000 cd/m², ITU-R BT.2408."""
    hlg, pq = map_tones(grey_signal(0.75), HLG), map_tones(grey_signal(pq_code(203)), PQ)
    np.testing.assert_allclose(hlg[0, 0].astype(int), pq[0, 0].astype(int), atol=2)
    assert map_tones(grey_signal(0), HLG).max() == 0
    assert map_tones(grey_signal(1), HLG).min() == 255
    assert pytest.approx(1000 / 203) == PEAK


def test_tones_stay_in_order() -> None:
    ramp = np.repeat(np.linspace(0, 65535, 500).astype(np.uint16)[:, None], 3, axis=1)
    for transfer in (PQ, HLG):
        assert (np.diff(map_tones(ramp, transfer).astype(int), axis=0) >= 0).all()


def test_colours_are_converted_from_bt2020() -> None:
    """BT.709's red has these coordinates in BT.2020, ITU-R BT.2087."""
    light = np.array([0.6274, 0.0691, 0.0164]) * 40
    signal = np.array([[round(65535 * pq_code(value)) for value in light]], np.uint16)
    red, green, blue = map_tones(signal, PQ)[0].astype(int)
    assert red == pytest.approx(srgb(40 / 203), abs=2)
    assert green < 12
    assert blue < 12
    assert map_tones(signal, PQ, from_bt2020=False)[0, 1] > 20


def picture(transfer: int, luma: int, pixel_format: str = "yuv420p10le") -> av.VideoFrame:
    frame = av.VideoFrame(96, 64, pixel_format)
    for plane, value in zip(frame.planes, (luma, 512, 512), strict=True):
        np.frombuffer(memoryview(plane), np.uint16)[:] = value
    frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9, 9
    return frame


@pytest.mark.parametrize("size", [(96, 64), (48, 32), (192, 128)])
def test_10_bit_pictures_are_tone_mapped_at_any_size(size: tuple[int, int]) -> None:
    image = BgrConverter().convert(picture(PQ, round(64 + 876 * pq_code(203))), size)
    assert image.shape == (size[1], size[0], 3)
    np.testing.assert_allclose(image, 215, atol=2)


def test_10_bit_pictures_without_hdr_are_not() -> None:
    image = BgrConverter().convert(picture(1, 64 + 438), (96, 64))
    np.testing.assert_allclose(image, 127.5, atol=2)
