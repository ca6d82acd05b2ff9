"""Tone mapping: pictures with high dynamic range (PQ or HLG, BT.2020) as images for ordinary displays (BT.709).

Light is computed relative to the reference white of ITU-R BT.2408, 203 cd/m². Highlights above it are compressed with
the operator `mobius` of FFmpeg's filter `tonemap`, which leaves darker tones as they are.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

PQ, HLG = 16, 18  # FFmpeg's AVColorTransferCharacteristic
BT709_PRIMARIES = 1  # AVColorPrimaries; HDR pictures of any others are taken as BT.2020

REFERENCE_WHITE = 203.0  # cd/m², ITU-R BT.2408
PEAK = 1000.0 / REFERENCE_WHITE  # of typical masters; brighter light is clipped
KNEE = 0.3  # up to here, relative to the reference white, tones are unchanged
HLG_GAMMA = 1.2  # of the system, for a display of 1000 cd/m², ITU-R BT.2100

BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
"""Linear R, G, B, from ITU-R BT.2087."""
BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
CODES = 1 << 16
ROWS_AT_ONCE = 256  # bounds the memory for large pictures


def is_hdr(picture: "VideoFrame") -> bool:
    """Return whether a picture has to be tone-mapped."""
    return picture.color_trc in (PQ, HLG)


def tone_mapped(signal: NDArray[np.uint16], transfer: int, primaries: int) -> NDArray[np.uint8]:
    """Tone-map an HDR image.

    Args:
        signal: Non-linear R, G, B over the full range of 16 bits, shape (H, W, 3).
        transfer: `PQ` or `HLG`.
        primaries: FFmpeg's AVColorPrimaries.

    Returns:
        Shape (H, W, 3), uint8, BGR.
    """
    image = np.empty(signal.shape, np.uint8)
    for top in range(0, len(signal), ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        image[rows] = map_tones(signal[rows], transfer, primaries != BT709_PRIMARIES)[..., ::-1]
    return image


def map_tones(signal: NDArray[np.uint16], transfer: int, from_bt2020: bool = True) -> NDArray[np.uint8]:
    """Convert an HDR signal to an SDR image.

    Args:
        signal: Non-linear R, G, B over the full range of 16 bits, shape (..., 3).
        transfer: `PQ` or `HLG`.
        from_bt2020: Whether the primaries are those of BT.2020, otherwise of BT.709.

    Returns:
        sRGB, the same shape.
    """
    light = _linear_light(transfer)[signal]
    if transfer == HLG:
        luminance = light @ BT2020_LUMA
        light = light * (PEAK * np.maximum(luminance, 1e-6) ** (HLG_GAMMA - 1))[..., None]
    if from_bt2020:
        light = light @ BT2020_TO_BT709.T
    np.clip(light, 0, PEAK, out=light)
    # The brightest channel determines the gain of all three, so that hues are preserved.
    brightest = light.max(axis=-1, keepdims=True)
    light *= _compressed(brightest) / np.maximum(brightest, 1e-6)
    return _to_srgb()[np.rint(light * (CODES - 1)).clip(0, CODES - 1).astype(np.uint16)]


@cache
def _linear_light(transfer: int) -> NDArray[np.float32]:
    """Return the light of each 16-bit code: of PQ relative to the reference white, of HLG the scene's, in [0, 1]."""
    code = np.linspace(0, 1, CODES)
    if transfer == PQ:  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = code ** (1 / m2)
        light = 10_000 / REFERENCE_WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    else:  # ARIB STD-B67
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return light.astype(np.float32)


def _compressed(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compress light in [0, PEAK] to [0, 1]."""
    j, peak = KNEE, PEAK
    a = -j * j * (peak - 1) / (j * j - 2 * j + peak)
    b = (j * j - 2 * j * peak + peak) / (peak - 1)
    curve = (b + j) ** 2 / (b - a) * (light + a) / (light + b)
    return np.where(light <= j, light, curve).astype(np.float32)


@cache
def _to_srgb() -> NDArray[np.uint8]:
    """Return the 8-bit sRGB value of light in [0, 1] by 16-bit code (IEC 61966-2-1)."""
    light = np.linspace(0, 1, CODES)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * value).astype(np.uint8)
