"""Sizes and colours of annotated frames."""

from dataclasses import dataclass

from pipeline.visualization.drawing import Color

MIN_HEIGHT = 480  # pixels; smaller clips are enlarged, so that the text is legible
MAX_SIDE = 3840  # pixels; larger clips are reduced, and x264 refuses those of more than 16,384

# By actor index, blue green red; distinct in hue and in lightness.
PALETTE: tuple[Color, ...] = (
    *((255, 196, 84), (64, 200, 255), (255, 150, 200), (110, 110, 255), (130, 215, 120), (60, 150, 255)),
    *((200, 200, 110), (190, 140, 255)),
)
PAPER, TRACK, FAINT, GREY, PLAIN = (34, 28, 24), (62, 54, 50), (150, 142, 138), (200, 195, 190), (240, 240, 240)


@dataclass(frozen=True)
class Layout:
    """The layout of an annotated clip, in pixels.

    Attributes:
        scale: Factor by which the clip is resized.
        picture: Width and height of the resized clip.
        width: Of the whole, even; wider than the picture if the text needs it.
        unit: Scale of everything drawn, 1 for a height of 480 pixels.
    """

    scale: float
    picture: tuple[int, int]
    width: int
    unit: float

    @classmethod
    def of(cls, width: int, height: int) -> "Layout":
        """Return the layout for a clip's width and height in pixels."""
        scale = min(max(1.0, MIN_HEIGHT / height), MAX_SIDE / max(width, height))
        picture = even(width * scale), even(height * scale)
        unit = max(1.0, min(picture) / MIN_HEIGHT)
        return cls(scale, picture, max(picture[0], even(MIN_HEIGHT * unit)), unit)

    @property
    def left(self) -> int:
        """Left edge of the picture."""
        return (self.width - self.picture[0]) // 2


def color_of(actor_index: int) -> Color:
    """Return the colour of an actor, by its index in the taxonomy, from 0."""
    return PALETTE[actor_index % len(PALETTE)]


def even(length: float) -> int:
    """Round a length to a positive even number of pixels, which H.264 requires."""
    return max(2, 2 * round(length / 2))
