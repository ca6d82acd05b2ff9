"""What stage 1 may leave undone to be faster, each at a price in presence ratios that benchmarks/README.md shows."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class SpeedOptions:
    """Ways to look less closely. By default every frame is decoded as it was meant, and looked at.

    Attributes:
        stride: Look at every frame (1), every second one (2), …; all are decoded and counted.
        reuse_below: A frame whose input differs from the last one that the network saw by less, in grey levels on
            average, is given the boxes of that one; 0 never does. At most `MAX_REUSED_FRAMES` in a row.
        loop_filter: Whether the decoder smooths the edges of its blocks.
    """

    stride: int = 1
    reuse_below: float = 0.0
    loop_filter: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Give the settings by name, for keys and records."""
        return asdict(self)


MAX_REUSED_FRAMES = 24  # about a second: what moves slowly is looked at again
