"""Text, boxes and bars in an image, with smooth edges. OpenCV is imported when something is drawn."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]  # blue, green, red, each 0 to 255
Image = NDArray[np.uint8]

DARK, LIGHT = (28, 22, 18), (250, 250, 250)
FONT_SCALE = 0.5  # OpenCV font scale of normal text, at unit 1


def text_width(words: str, size: float) -> float:
    """Return the width of a text in pixels at an OpenCV font scale."""
    import cv2

    return float(cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, size, _stroke(size))[0][0])


def text(image: Image, words: str, left: float, middle: float, color: Color, size: float) -> None:
    """Draw a line of text whose capitals are vertically centred on `middle`."""
    import cv2

    origin = round(left), round(middle + _capital_offset(size))
    cv2.putText(image, words, origin, cv2.FONT_HERSHEY_SIMPLEX, size, color, _stroke(size), cv2.LINE_AA)


def rectangle(image: Image, corners: tuple[float, float, float, float], color: Color, radius: float) -> None:
    """Fill a rectangle with round corners; corners are x1 y1 x2 y2 in pixels."""
    import cv2

    x1, y1, x2, y2 = (round(value) for value in corners)
    r = max(0, min(round(radius), (x2 - x1) // 2, (y2 - y1) // 2))
    cv2.rectangle(image, (x1 + r, y1), (x2 - r, y2), color, cv2.FILLED)
    cv2.rectangle(image, (x1, y1 + r), (x2, y2 - r), color, cv2.FILLED)
    for x, y in ((x1 + r, y1 + r), (x2 - r, y1 + r), (x1 + r, y2 - r), (x2 - r, y2 - r)):
        cv2.circle(image, (x, y), r, color, cv2.FILLED, cv2.LINE_AA)


def chip_width(words: str, unit: float) -> float:
    """Return the width of a chip in pixels."""
    return text_width(words, FONT_SCALE * unit) + 18 * unit


def chip(image: Image, words: str, left: float, middle: float, color: Color, unit: float) -> float:
    """Draw text on a coloured background with round ends, and return its width in pixels."""
    width, half = chip_width(words, unit), 12 * unit
    rectangle(image, (left, middle - half, left + width, middle + half), color, half)
    text(image, words, left + 9 * unit, middle, ink_on(color), FONT_SCALE * unit)
    return width


def box(
    image: Image, corners: NDArray[np.float64], label: str, color: Color, unit: float, *, faint: bool = False
) -> None:
    """Draw a detection: its outline and its label, above it or, at the image's edge, inside.

    Args:
        image: Shape (H, W, 3).
        corners: x1 y1 x2 y2 in pixels; clipped to the image.
        label: The text.
        color: Of the outline, and of the label's background.
        unit: Scale of everything drawn.
        faint: Draw a thin outline, and the text in its colour on a dark background.
    """
    import cv2

    height, width = image.shape[:2]
    stroke = max(1, round((1 if faint else 2.5) * unit))
    low, high = stroke // 2, np.array([width, height]) - 1 - stroke // 2
    x1, y1 = (int(value) for value in np.clip(corners[:2].round(), low, high))
    x2, y2 = (int(value) for value in np.clip(corners[2:].round(), low, high))
    cv2.rectangle(image, (x1, y1), (x2, y2), color, stroke, cv2.LINE_AA)
    size = (0.4 if faint else FONT_SCALE) * unit
    tag_width, tag_height = text_width(label, size) + 10 * unit, (16 if faint else 20) * unit
    left = min(max(x1 - stroke // 2, 0), max(width - tag_width - 1, 0))
    top = y1 - tag_height if y1 >= tag_height else y1
    rectangle(image, (left, top, left + tag_width, top + tag_height), DARK if faint else color, 3 * unit)
    text(image, label, left + 5 * unit, top + tag_height / 2, color if faint else ink_on(color), size)


def ink_on(color: Color) -> Color:
    """Return the text colour that is legible on a background."""
    blue, green, red = color
    return DARK if 0.114 * blue + 0.587 * green + 0.299 * red > 120 else LIGHT


@cache
def _capital_offset(size: float) -> float:
    """Measure how far a capital's middle is above the baseline; what OpenCV reports depends on its version."""
    import cv2

    line = round(40 * size) + 10
    mask = np.zeros((2 * line, 2 * line), dtype=np.uint8)
    cv2.putText(mask, "H", (5, line), cv2.FONT_HERSHEY_SIMPLEX, size, 255, _stroke(size), cv2.LINE_AA)
    rows = np.flatnonzero(mask.max(axis=1) > 127)
    return line - float(rows[0] + rows[-1]) / 2


def _stroke(size: float) -> int:
    return max(1, round(1.4 * size))
