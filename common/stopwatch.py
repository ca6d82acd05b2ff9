"""Elapsed time."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stopwatch:
    """Starts when it is created."""

    started: float = field(default_factory=time.perf_counter)

    def seconds(self) -> float:
        """Return the seconds since then."""
        return time.perf_counter() - self.started
