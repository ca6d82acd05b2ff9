"""How long a worker has been at the same thing."""

import time
from dataclasses import dataclass, field

TICK_SECONDS = 0.2


@dataclass
class Watch:
    """Measures how long the worker has been at the same thing.

    Time in which this process did not run, as while both are suspended, does not count.

    Attributes:
        seconds: Since the last sign of life that counts, without preparations.
        alive_seconds: Before that, since the worker began with the clip or its annotated copy.
        is_preparing: Whether a network is being prepared, for which the clip is not to blame.
        preparing_seconds: Since the preparation began.
    """

    seconds: float = 0.0
    alive_seconds: float = 0.0
    is_preparing: bool = False
    preparing_seconds: float = 0.0
    _last: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Add the time since the last call, which was a moment ago."""
        now = time.monotonic()
        passed, self._last = min(now - self._last, 2 * TICK_SECONDS), now
        if self.is_preparing:
            self.preparing_seconds += passed
        else:
            self.seconds += passed

    def beat(self) -> None:
        """Note a sign of life."""
        self.alive_seconds, self.seconds = self.alive_seconds + self.seconds, 0.0

    def start(self) -> None:
        """Begin with another clip, or with its annotated copy."""
        self.alive_seconds = self.seconds = 0.0

    def prepare(self, begins: bool) -> None:
        """Stop for a preparation, or go on after it."""
        self.is_preparing, self.preparing_seconds = begins, 0.0
