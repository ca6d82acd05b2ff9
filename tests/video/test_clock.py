"""Times of frames where the clock of a file jumps, runs backwards, or is missing."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from bad_videos_unusual import Video
from fake_clips import Encoder, assert_same_frames, make_clip, read_all

from video.clips import end_seconds, read_frames_at
from video.clock import Clock

MILLISECOND = Fraction(1, 1000)
DAY_MS = 86_400_000


def seconds(times_ms: list[int | None], may_jump: bool) -> list[float]:
    clock = Clock(MILLISECOND, 0.04, may_jump)
    return [round(clock.seconds(time), 6) for time in times_ms]


@pytest.mark.parametrize("may_jump", [False, True])
@pytest.mark.parametrize(
    ("times_ms", "expected"),
    [
        pytest.param([500, 540, 600], [0, 0.04, 0.1], id="from-the-first-frame"),
        pytest.param([-80, -40, 0], [0, 0.04, 0.08], id="negative"),
        pytest.param([None, None, 80, 120], [0, 0.04, 0.08, 0.12], id="missing"),
        pytest.param([0, 40, 40, 30, 120], [0, 0.04, 0.08, 0.12, 0.16], id="not-increasing"),
        pytest.param([0, 40, 9_040], [0, 0.04, 9.04], id="a-pause"),
        pytest.param([0, 40, DAY_MS, DAY_MS + 100], [0, 0.04, 0.08, 0.18], id="a-jump-of-a-day"),
        pytest.param([DAY_MS, 0, 50, 100], [0, 0.04, 0.09, 0.14], id="only-the-first-is-wrong"),
        pytest.param([0, 40, 9 * DAY_MS, 120, 160], [0, 0.04, 0.08, 0.12, 0.16], id="only-one-is-wrong"),
        pytest.param([20_000, 20_040, 0, 50], [0, 0.04, 0.08, 0.13], id="restarted-after-20-s"),
        pytest.param([0, 40, 1 << 62, 1 << 62], [0, 0.04, 0.08, 0.12], id="overflow"),
    ],
)
def test_times_increase_without_jumps(times_ms: list[int | None], expected: list[float], may_jump: bool) -> None:
    assert seconds(times_ms, may_jump) == pytest.approx(expected)


def test_discontinuities_are_bridged_only_in_formats_that_allow_them() -> None:
    times: list[int | None] = [0, 40, 60_000, 60_040]
    assert seconds(times, may_jump=False) == pytest.approx([0, 0.04, 60, 60.04])
    assert seconds(times, may_jump=True) == pytest.approx([0, 0.04, 0.08, 0.12])
    restarted: list[int | None] = [0, 100, 200, 300, 0, 100, 200]
    assert seconds(restarted, may_jump=True) == pytest.approx([0, 0.1, 0.2, 0.3, 0.34, 0.44, 0.54])


def test_time_lapses_keep_their_times() -> None:
    hour = 3_600_000
    assert seconds([0, hour, 3 * hour], may_jump=False) == [0, 3600, 10_800]


@pytest.mark.parametrize(("duration", "may_jump", "expected"), [(40, True, 0.04), (60_000, False, 60), (None, True, 0)])
def test_durations_are_kept(duration: int | None, may_jump: bool, expected: float) -> None:
    assert Clock(MILLISECOND, 0.04, may_jump).duration_seconds(duration) == pytest.approx(expected)


@pytest.mark.parametrize(("duration", "may_jump"), [(DAY_MS, False), (11_000, True), (-40, False)])
def test_absurd_durations_are_unknown(duration: int, may_jump: bool) -> None:
    assert Clock(MILLISECOND, 0.04, may_jump).duration_seconds(duration) == 0


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "flv", "ts", "nut"])
@pytest.mark.parametrize(("jump_ms", "is_bridged"), [(60_000, False), (DAY_MS, True)], ids=["minute", "day"])
def test_jumps_in_files(tmp_path: Path, suffix: str, jump_ms: int, is_bridged: bool) -> None:
    times = [40 * number + (jump_ms if number >= 10 else 0) for number in range(20)]
    clip = Video(frames=20, times_ms=times, options={"bf": "0"}).write(tmp_path / f"clip.{suffix}")
    whole = read_all(clip)
    gap = 0.04 if is_bridged or suffix == "ts" else 60.04
    np.testing.assert_allclose(np.diff(whole.time_seconds), [0.04] * 9 + [gap] + [0.04] * 9, atol=1e-3)
    end = end_seconds(whole.time_seconds, float(whole.duration_seconds[-1]))
    assert end == pytest.approx(0.76 + gap, abs=1e-3)
    indices = [3, 10, 19, 9]
    assert_same_frames(read_frames_at(clip, indices), whole, indices)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("ts", "libx264"), ("ts", "mpeg2video"), ("ts", "libx265"), ("mpg", "mpeg2video")]
)
@pytest.mark.parametrize("parts", [2, 4])
def test_joined_streams_are_read_as_one(tmp_path: Path, suffix: str, codec: str, parts: int) -> None:
    options = {"x265-params": "log-level=none:pools=none"} if codec == "libx265" else {"g": "10"}
    part = make_clip(tmp_path / f"part.{suffix}", 30, Encoder(codec, options))
    clip = tmp_path / f"joined.{suffix}"
    clip.write_bytes(part.read_bytes() * parts)
    one, whole = read_all(part), read_all(clip)
    assert len(whole) == 30 * parts
    np.testing.assert_array_equal(whole.images, np.concatenate([one.images] * parts))
    assert np.diff(whole.time_seconds).max() <= 0.0801
    assert whole.time_seconds[-1] == pytest.approx(30 * parts / 25, abs=0.05 * parts)
    indices = [29, 30, 31, 30 * parts - 1]
    assert_same_frames(read_frames_at(clip, indices), whole, indices)
