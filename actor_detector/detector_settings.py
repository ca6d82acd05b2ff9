"""The two settings with which a detector is applied to frames."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DetectorSettings:
    """How a detector is applied to frames; the defaults are as published (A2D challenge report, section 3.1).

    Attributes:
        image_size: Long side in pixels to which frames are letterboxed.
        confidence: Minimum confidence of a box, in [0, 1].
    """

    image_size: int = 224
    confidence: float = 0.5
