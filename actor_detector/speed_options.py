"""Options that make stage 1 faster at the cost of less accurate presence ratios, see benchmarks/README.md."""

from dataclasses import asdict, dataclass
from typing import Any

MAX_REUSED_FRAMES = 24  # about a second, so that slow changes are not missed


@dataclass(frozen=True)
class SpeedOptions:
    """Options that make stage 1 faster. By default every frame is decoded exactly and passed to the network.

    Attributes:
        stride: Process every Nth frame; all frames are decoded and counted.
        reuse_below: Reuse the boxes of the last frame that was passed to the network while the mean absolute difference
            between the inputs is less than this, in grey levels; 0 disables reuse. At most `MAX_REUSED_FRAMES`
            consecutive frames reuse the same boxes.
        loop_filter: Whether the decoder applies its deblocking filter.
    """

    stride: int = 1
    reuse_below: float = 0.0
    loop_filter: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the options by name, for cache keys and records."""
        return asdict(self)
