"""When looks are enough: replays of what is known, and the choice that conformal risk control makes."""

import numpy as np
import pytest

from common.errors import UserError
from common.files import read_yaml
from experiments.until_sure import (
    STOP_DEVIATIONS,
    KnownClip,
    _write_entry,
    allowed_share,
    fit_chance,
    replay,
    smallest_sure,
)
from pipeline.until_sure import load_calibration

GATES = np.array([0.05])


@pytest.fixture(scope="module")
def clips():
    """Clips of one actor who is in sight for a while, in some of them not at all, as a detector would see it."""
    random = np.random.default_rng(0)
    clips = []
    for _ in range(60):
        times = np.arange(150) / 25
        centre, width = random.uniform(0, 6), random.choice([0.0, 0.1, 0.3, 1.0, 3.0])
        confidence = np.clip(3 * width - np.abs(times - centre), 0, None)[None] + random.normal(0, 0.1, (1, 150))
        confidence = np.where(confidence < 0.25, 0, confidence).astype(np.float32)
        clips.append(KnownClip(times, confidence, np.ones((1, 150), bool), 0.5))
    return clips


def test_more_deviations_take_more_looks_and_make_fewer_mistakes(clips):
    chance = fit_chance(clips)
    rough, exact = (replay(clips, deviations, range(3), GATES, chance) for deviations in (0.2, 4.0))
    assert rough.frames < exact.frames < 0.6
    assert exact.differing.mean() <= rough.differing.mean()
    assert exact.differing.mean() < 0.02
    assert rough.differing.shape == (180,)
    assert rough.scores.shape == (180, 1)


def test_the_first_frame_that_shows_the_actor_decides_for_its_interval():
    times, shown = np.arange(10) / 10, np.ones((1, 10), np.float32)
    confirmed = np.ones((1, 10), bool)
    confirmed[0, [0, 6]] = False
    clip = KnownClip(times, shown, confirmed, 0.5)
    assert clip.ratios.tolist() == [0.5]
    assert clip.look(np.array([0, 6])).counts.tolist() == [[False, False]]
    assert clip.look(np.array([1, 6, 7])).counts.tolist() == [[True, False, False]]
    assert clip.look(np.array([1, 6])).ruled_out.tolist() == [[False] * 5 + [True] * 5]


def test_what_is_allowed_on_few_clips_is_less():
    assert allowed_share(395, 0.01) == pytest.approx((0.01 * 396 - 1) / 395)
    assert allowed_share(50, 0.01) == 0
    assert allowed_share(10**9, 0.01) == pytest.approx(0.01)


def test_all_larger_candidates_must_be_sure_as_well():
    assert smallest_sure([0.02, 0.001, 0.02, 0.001, 0.0], 1000, 0.01) == 3
    assert smallest_sure([0.02, 0.02], 1000, 0.01) is None
    assert smallest_sure([0.0, 0.0], 1000, 0.01) == 0
    assert (np.diff(STOP_DEVIATIONS) > 0).all()


def test_entries_are_replaced_by_name(tmp_path):
    path = tmp_path / "until_sure.yaml"
    known = read_yaml(load_calibration.__defaults__[0], UserError)["detectors"][0]
    _write_entry(path, {**known, "bias": 1.0})
    _write_entry(path, {**known, "detector": "other", "sha256": "f" * 64})
    _write_entry(path, {**known, "bias": 2.0})
    assert load_calibration("", path).chance.bias == 2.0
    assert load_calibration("f" * 64, path).detector == "other"
