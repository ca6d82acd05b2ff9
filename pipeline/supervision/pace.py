"""A limit on how fast something is done, on average."""

from threading import Lock
from time import monotonic, sleep


class Pace:
    """Has those wait who are faster than a pace; time in which nothing was done can be made up for.

    May be used by several threads, whose counts are added.

    Args:
        per_second: How much may be done in a second.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second, self._since, self._done, self._lock = per_second, monotonic(), 0, Lock()

    def wait(self, count: int) -> None:
        """Wait until so much more may have been done."""
        with self._lock:
            self._done += count
            ahead = self._done / self._per_second - (monotonic() - self._since)
        if ahead > 0:
            sleep(ahead)
