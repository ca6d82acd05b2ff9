"""Long clips: windows, the presence in them, and what a clip's length or a pause in it may not change."""

from dataclasses import replace

import numpy as np
import pytest

from actor_detector.detections import ClipDetections
from pipeline.clip_windows import MAX_WINDOW_SECONDS, ClipWindows, clip_presence_ratios

DOG, ACTORS = 5, 6


def detections(shown: list[int], fps: float = 10.0, stride: int = 1) -> ClipDetections:
    """One frame per entry, with as many boxes of a dog as the entry says."""
    rows = np.repeat(np.arange(len(shown)), shown)
    return ClipDetections(
        frame_index=np.arange(len(shown)) * stride,
        time_seconds=np.arange(len(shown)) * stride / fps,
        frame_row=rows,
        boxes=np.zeros((len(rows), 4), np.float32),
        confidence=np.ones(len(rows), np.float32),
        actor_index=np.full(len(rows), DOG),
        duration_seconds=len(shown) * stride / fps,
        stride=stride,
        decoded=len(shown) * stride if stride > 1 else None,
    )


def test_clip_of_the_maximum_length_is_one_window():
    clip = detections([1, 0] * round(MAX_WINDOW_SECONDS * 5))
    windows = ClipWindows.of_clip(clip)
    assert (len(windows), windows.seconds(0)) == (1, (0.0, MAX_WINDOW_SECONDS))
    assert len(ClipWindows.of_clip(detections([1, 0] * round(MAX_WINDOW_SECONDS * 5) + [0]))) == 2
    np.testing.assert_array_equal(clip_presence_ratios(clip, ACTORS), clip.presence_ratios(ACTORS))


@pytest.mark.parametrize("fps", [12, 29.97, 60])
def test_windows_have_equal_lengths(fps):
    windows = ClipWindows.of_clip(detections([0] * round(100 * fps), fps))
    lengths = [end - start for start, end in map(windows.seconds, range(len(windows)))]
    assert len(lengths) == 4
    assert lengths == pytest.approx([25] * 4, abs=2 / fps)
    assert sum(len(windows.window(index).frame_index) for index in range(4)) == round(100 * fps)


def test_presence_is_that_of_the_window_that_shows_the_actor_most():
    """Ten seconds of a dog within ten minutes."""
    clip = detections([0] * 1500 + [1] * 100 + [0] * 4400)
    assert clip.presence_ratios(ACTORS)[DOG] == pytest.approx(1 / 60)
    assert clip_presence_ratios(clip, ACTORS)[DOG] == pytest.approx(1 / 3)
    by_window = ClipWindows.of_clip(clip).presence_ratios(ACTORS)
    assert np.flatnonzero(by_window[:, DOG]).tolist() == [5]


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("loops", [2, 8, 29, 86])
def test_presence_does_not_depend_on_how_often_a_clip_is_repeated(loops, stride):
    once = [1, 1, 0, 2, 0, 0, 1, 0] * 9
    ratios = clip_presence_ratios(detections(once, stride=stride), ACTORS)
    assert clip_presence_ratios(detections(once * loops, stride=stride), ACTORS) == pytest.approx(ratios, abs=0.02)


def test_window_is_a_clip_of_its_own():
    clip = detections([2, 0, 1] * 200)
    clip = replace(clip, camera=np.arange(1200, dtype=np.float32).reshape(600, 2))
    windows = ClipWindows.of_clip(clip)
    assert len(windows) == 2
    second = windows.window(1)
    assert (second.frame_index[0], second.frames, second.time_seconds[0]) == (300, 300, 30.0)
    assert second.duration_seconds == pytest.approx(30)
    assert second.frame_row[:3].tolist() == [0, 0, 2]
    np.testing.assert_array_equal(second.camera, clip.camera[300:])
    np.testing.assert_array_equal(second.presence_ratios(ACTORS), windows.presence_ratios(ACTORS)[1])


def test_window_of_strided_detections_counts_the_frames_that_it_represents():
    windows = ClipWindows.of_clip(replace(detections([1, 0] * 100, stride=4), decoded=798))
    assert [windows.window(index).frames for index in range(3)] == [268, 268, 262]


def test_frames_are_assigned_to_windows_whether_processed_or_not():
    windows = ClipWindows.of_clip(detections([0] * 200, stride=4))
    assert windows.index_of(np.array([0, 267, 268, 271, 799])).tolist() == [0, 0, 1, 1, 2]


def test_pause_neither_fills_windows_nor_divides_a_clip():
    clip = detections([1, 0] * 50)
    times = clip.time_seconds.copy()
    times[50:] += 3600
    paused = replace(clip, time_seconds=times, duration_seconds=clip.duration_seconds + 3600)
    assert len(ClipWindows.of_clip(paused)) == 1
    np.testing.assert_array_equal(clip_presence_ratios(paused, ACTORS), clip_presence_ratios(clip, ACTORS))
    slides = replace(clip, time_seconds=np.arange(100) * 60.0, duration_seconds=6000.0)
    assert len(ClipWindows.of_clip(slides)) == 4, "each slide counts as a second"
