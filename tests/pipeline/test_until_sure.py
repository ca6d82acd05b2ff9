"""`--until-sure`: few frames are looked at, the answer is that of every frame, and earlier looks are never lost."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from action_heads.confirmation import Confirmer
from actor_detector.looks import stretches
from actor_detector.looks.certainty import Certainty
from common.errors import UserError
from pipeline.config import TaggerConfig
from pipeline.frame_sampling import sample_frames
from pipeline.results import ClipResult
from pipeline.tagger import ActorActionTagger
from pipeline.until_sure import CERTAIN_ONLY, load_calibration
from thresholds.gates import load_gates, save_gates


@pytest.fixture
def sure(config, tmp_path):
    """A pipeline that looks until sure, with a detection cache of its own and a head's frame every half second."""
    return replace(config, until_sure=0.01, cache=tmp_path / "cache", sample_every_seconds=0.5)


@pytest.fixture
def every(config, tmp_path):
    return replace(config, cache=tmp_path / "every", sample_every_seconds=0.5)


class FrameCounter:
    """Counts the frames that a tagger's network is given."""

    def __init__(self, tagger, monkeypatch):
        self.frames = 0
        self._submit = tagger.detector.model.submit
        monkeypatch.setattr(tagger.detector.model, "submit", self)

    def __call__(self, inputs, letterbox):
        self.frames += len(inputs)
        return self._submit(inputs, letterbox)


def row(tagger, clip):
    """Tag a clip; return its row without what depends on time and on the cache."""
    result = tagger.tag(clip).to_dict()
    del result["timing"]
    return result


def test_the_answer_is_that_of_every_frame(sure, every, demo_clip, monkeypatch):
    tagger = ActorActionTagger.from_config(sure)
    counter = FrameCounter(tagger, monkeypatch)
    found, expected = tagger.tag(demo_clip), ActorActionTagger.from_config(every).tag(demo_clip)
    assert counter.frames == found.looks.frames < found.frames / 3
    assert (found.frames, found.duration_seconds) == (expected.frames, expected.duration_seconds)
    assert found.looks.error == 0.01
    assert expected.looks is None
    for name, actor in expected.actors.items():
        low, high = found.actors[name].interval
        assert found.actors[name].present == actor.present
        assert low - 1e-4 <= actor.presence <= high + 1e-4
        assert low <= found.actors[name].presence <= high
        assert actor.interval is None
    assert any(actor.present for actor in expected.actors.values())


def test_heads_are_given_a_frame_of_every_interval_that_shows_the_actor(sure, every, demo_clip):
    found, expected = (ActorActionTagger.from_config(config).tag(demo_clip) for config in (sure, every))
    for name, actor in expected.actors.items():
        times = [timeline.seconds for timeline in (found.timeline.get(name), expected.timeline.get(name)) if timeline]
        if actor.present:
            some, all_intervals = ({math.floor(seconds / 0.5) for seconds in one} for one in times)
            assert some <= all_intervals
            assert len(some) >= 0.8 * len(all_intervals), "an actor that enters in the middle of one may be missed"


def test_the_same_seed_gives_the_same_row_from_any_cache(sure, demo_clip, monkeypatch):
    sure = replace(sure, until_sure=0.0)  # only what is certain counts, so that further looks are drawn
    first = row(ActorActionTagger.from_config(replace(sure, cache=None)), demo_clip)
    assert row(ActorActionTagger.from_config(replace(sure, cache=None, seed=1)), demo_clip) != first
    row(ActorActionTagger.from_config(replace(sure, until_sure=0.2, seed=2)), demo_clip)
    tagger = ActorActionTagger.from_config(sure)
    counter = FrameCounter(tagger, monkeypatch)
    assert row(tagger, demo_clip) == first, "earlier looks, for another error and seed, do not change the answer"
    assert 0 < counter.frames < first["looks"]["frames"], "but they are not repeated"
    again = ActorActionTagger.from_config(sure).tag(demo_clip)
    assert again.timing["detections_from_cache"]
    assert {**again.to_dict(), "timing": None} == {**first, "timing": None}


def test_looks_are_extended_and_frames_known_from_elsewhere_cost_nothing(sure, demo_clip, monkeypatch):
    tagger = ActorActionTagger.from_config(sure)
    counter = FrameCounter(tagger, monkeypatch)
    tagger.tag(demo_clip)
    looked = counter.frames
    stricter = ActorActionTagger.from_config(replace(sure, until_sure=0.0))
    counter = FrameCounter(stricter, monkeypatch)
    everything = stricter.tag(demo_clip)
    assert counter.frames <= everything.looks.frames - looked + 1
    every = ActorActionTagger.from_config(replace(sure, until_sure=None))
    every.tag(demo_clip)
    fresh = ActorActionTagger.from_config(replace(sure, seed=5))
    counter = FrameCounter(fresh, monkeypatch)
    assert fresh.tag(demo_clip).looks.frames > 0
    assert counter.frames == 0, "every frame is known"


@pytest.fixture
def judged(monkeypatch):
    """The boxes that were judged, by actor."""
    counted = Counter()
    submit = Confirmer.submit_frame

    def count(self, views, boxes):
        counted.update(boxes.keys())
        return submit(self, views, boxes)

    monkeypatch.setattr(Confirmer, "submit_frame", count)
    return counted


@pytest.fixture
def confirming(sure, tmp_path):
    """With the embedded layers, and gates of one half."""
    gates = load_gates(TaggerConfig().gates_file)
    path = tmp_path / "gates.yaml"
    save_gates(replace(gates, values=np.full(len(gates.actors), 0.5)), path)
    return replace(sure, thresholds=path)


def test_boxes_of_an_actor_that_is_absent_whatever_the_layers_say_are_not_judged(confirming, demo_clip, judged):
    """People are in two thirds of the clip, a cat in the rest."""
    result = ActorActionTagger.from_config(confirming).tag(demo_clip)
    assert judged["person"] > 0
    assert judged["cat"] == 0
    cat = result.actors["cat"]
    assert cat.detected == cat.presence > 0.1, "a box that was not judged counts"
    assert cat.interval[0] == 0, "but may not count"
    assert not cat.present
    before = dict(judged)
    again = ActorActionTagger.from_config(confirming).tag(demo_clip)
    assert dict(judged) == before, "what was left out is not made up for"
    assert {**again.to_dict(), "timing": None} == {**result.to_dict(), "timing": None}


def test_whatever_a_decision_depends_on_is_judged(confirming, demo_clip, monkeypatch, judged):
    """Looked at in stretches that are no windows, an actor may be absent from a stretch, but present in the clip."""
    monkeypatch.setattr(stretches, "MAX_STRETCH_SECONDS", 1.0)
    monkeypatch.setattr(Certainty, "possible", lambda self, gates, deviations: np.zeros(len(gates), bool))
    tagger = ActorActionTagger.from_config(confirming)
    (detected,) = tagger.detector.detect_all([demo_clip])
    assert judged["person"] >= len(sample_frames(detected.detections, 0, 0.5)) > 0
    assert judged["cat"] == 0


def test_without_confirmation(sure, gates_file, demo_clip):
    result = ActorActionTagger.from_config(replace(sure, confirmation="none")).tag(demo_clip)
    assert all(actor.interval for actor in result.actors.values())


def test_other_ways_to_choose_frames_are_refused(sure):
    for change in ({"stride": 2}, {"reuse_below": 1.0}):
        with pytest.raises(UserError, match="leave --stride and --reuse-below out"):
            ActorActionTagger.from_config(replace(sure, **change))


def test_rows_can_be_read_back(sure, demo_clip):
    result = ActorActionTagger.from_config(sure).tag(demo_clip)
    assert ClipResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    old = result.to_dict()
    del old["looks"]
    for actor in old["actors"].values():
        del actor["interval"]  # which rows of every frame lack as well
    assert ClipResult.from_dict(old).looks is None


def test_calibration_of_the_embedded_detector():
    calibration = load_calibration("")
    assert calibration.detector == "embedded"
    assert calibration.deviations_for(0.001) == CERTAIN_ONLY
    stops = [calibration.deviations_for(error).stop for error in (0.005, 0.01, 0.02, 0.3)]
    assert stops == sorted(stops, reverse=True)
    assert calibration.deviations_for(0.015) == calibration.deviations_for(0.01), (
        "the next smaller one that was measured"
    )


@pytest.mark.parametrize("text", ["detectors: []", "detectors: [{detector: x}]", "- 1", "detectors: 3"])
def test_a_wrong_calibration_is_named(text, tmp_path):
    path = tmp_path / "until_sure.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"until_sure\.yaml"):
        load_calibration("", path)


def test_detectors_without_a_calibration_say_so(config, yolo, yolo_gates_file):
    tagger = ActorActionTagger.from_config(
        replace(config, detector=str(yolo), thresholds=yolo_gates_file, until_sure=0.01, force=True)
    )
    assert (
        tagger.detector.until_sure.is_calibrated
        or "as measured with the embedded detector" in tagger.describe_weights()
    )
