"""The times of a clip's frames: timestamps as seconds from the first frame, strictly increasing, without jumps."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from video.frames import ASSUMED_FPS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# As the ffmpeg tool: -dts_delta_threshold, and its tolerance for timestamps that go back.
DISCONTINUITY_SECONDS = 10.0
BACKWARD_SECONDS = 0.1

# Other formats promise a continuous clock, and a picture may be shown for long, so that only absurd gaps are faults.
ABSURD_GAP_SECONDS = 3600.0
ABSURD_GAP_INTERVALS = 100  # relative to the longest interval before, so that time-lapse recordings keep their times

PLAUSIBLE_RATES = (1 / 86_400, 1000)  # frames per second; others are artefacts of a format's time base


@dataclass
class Clock:
    """Converts timestamps into strictly increasing seconds relative to the first frame.

    A missing or non-increasing timestamp is replaced by the previous time plus one frame step. Where the clock jumps,
    the next frame follows after one frame step, and the frames after it keep their distances, as in the ffmpeg tool.

    Attributes:
        time_base: Duration of one unit of the timestamps, seconds.
        step_seconds: Nominal interval between frames.
        may_jump: Whether the format allows discontinuities, such as those of joined transport streams.
        is_ordered: Whether every frame so far had a timestamp, later than the one before.
    """

    time_base: Fraction
    step_seconds: float
    may_jump: bool = False
    is_ordered: bool = True
    _last_pts: int | None = None
    _origin: int | None = None
    _previous_origin: int | None = None
    _last_seconds: float = -math.inf
    _longest_interval: float = 0.0

    @classmethod
    def of_stream(cls, container: "InputContainer", stream: "VideoStream") -> "Clock":
        """Create the clock of an open stream."""
        return cls(stream_time_base(stream), frame_step_seconds(stream), can_jump(container))

    def seconds(self, pts: int | None) -> float:
        """Return when the next frame in display order is shown."""
        self.is_ordered = self.is_ordered and pts is not None and (self._last_pts is None or pts > self._last_pts)
        self._last_pts = pts
        expected = max(0.0, self._last_seconds + self.step_seconds)
        seconds = expected if pts is None else self._stored_seconds(pts, expected)
        if self._last_seconds >= 0:
            self._longest_interval = max(self._longest_interval, seconds - self._last_seconds)
        self._last_seconds = seconds
        return seconds

    def duration_seconds(self, duration: int | None) -> float:
        """Convert a frame's duration in units of the time base to seconds; 0 if it is unknown or absurd."""
        seconds = self._to_seconds(duration or 0)
        return seconds if 0 <= seconds <= self._max_gap_seconds else 0.0

    def stored_seconds(self, pts: int | None) -> float | None:
        """Convert a timestamp to seconds without any correction; None if it is missing."""
        return None if pts is None else self._to_seconds(pts)

    @property
    def _max_gap_seconds(self) -> float:
        if self.may_jump:
            return DISCONTINUITY_SECONDS
        return max(ABSURD_GAP_SECONDS, ABSURD_GAP_INTERVALS * max(self.step_seconds, self._longest_interval))

    def _stored_seconds(self, pts: int, expected: float) -> float:
        """Return the time that a timestamp stands for, or the expected one if it cannot be right."""
        if self._origin is None:
            self._origin = self._restarted(pts, expected)
        seconds = self._to_seconds(pts - self._origin)
        if self._is_jump(seconds, expected):
            earlier = self._origin if self._previous_origin is None else self._previous_origin
            seconds = self._to_seconds(pts - earlier)
            if seconds <= self._last_seconds or self._is_jump(
                seconds, expected
            ):  # it is not back on its earlier course
                earlier, seconds = self._restarted(pts, expected), expected
            self._origin, self._previous_origin = earlier, self._origin
        return seconds if seconds > self._last_seconds else expected

    def _restarted(self, pts: int, expected: float) -> int:
        """Return the origin of a clock on which a timestamp stands for the expected time."""
        return pts - round(expected / float(self.time_base))

    def _to_seconds(self, units: int) -> float:
        """Convert units of the time base, as exactly as `float` does a fraction, and ten times as fast."""
        return units * self.time_base.numerator / self.time_base.denominator

    def _is_jump(self, seconds: float, expected: float) -> bool:
        back = BACKWARD_SECONDS if self.may_jump else DISCONTINUITY_SECONDS
        return seconds - expected > self._max_gap_seconds or seconds < self._last_seconds - back


def can_jump(container: "InputContainer") -> bool:
    """Return whether the format of a file allows its clock to jump."""
    from av.format import Flags

    discontinuous: Any = Flags.ts_discont  # PyAV declares the flags of a format as an integer
    return bool(container.format.flags & discontinuous.value)


def stream_time_base(stream: "VideoStream") -> Fraction:
    """Return the duration of one unit of the stream's timestamps in seconds."""
    return stream.time_base or Fraction(1, 1_000_000)


def frame_step_seconds(stream: "VideoStream") -> float:
    """Return the nominal interval between frames; that of 25 frames per second if the file states no plausible one."""
    lowest, highest = PLAUSIBLE_RATES
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate and lowest <= rate <= highest:
            return float(1 / rate)
    return 1 / ASSUMED_FPS
