"""Length and size of a clip, measured while it is read."""

import numpy as np
import pytest

from benchmarks.clip_meter import ClipMeter
from video.clips import FrameBatch, read_frames


def test_clip_meter_measures_a_clip_in_batches(demo_clip):
    meter = ClipMeter()
    for batch in read_frames(demo_clip):
        meter.add(batch)
    info = meter.info()
    assert (info.frames, info.width, info.height) == (152, 576, 320)
    assert info.duration_seconds == pytest.approx(152 / 25)
    assert info.fps == pytest.approx(25)


@pytest.mark.parametrize(
    ("durations", "expected"),
    [
        pytest.param([0.1, 0.2, 0.5], 0.8, id="known"),
        pytest.param([0.0, 0.0, 0.0], 0.3 + 0.15, id="median-interval"),
        pytest.param([0.0], 0.04, id="one-frame"),
    ],
)
def test_clip_meter_includes_the_last_frame(durations, expected):
    frames = len(durations)
    times = np.array([0.0, 0.1, 0.3])[:frames]
    meter = ClipMeter()
    meter.add(FrameBatch(np.arange(frames), times, np.array(durations), np.zeros((frames, 48, 64, 3), np.uint8)))
    info = meter.info()
    assert (info.frames, info.width, info.height) == (frames, 64, 48)
    assert info.duration_seconds == pytest.approx(expected)


def test_clip_meter_without_frames_is_an_error():
    with pytest.raises(ValueError, match="no frame was counted"):
        ClipMeter().info()
