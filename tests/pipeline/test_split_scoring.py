"""Scores of a split: hand-worked counts and trivial answers, and the frame-level path on a real tiny A2D."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fake_a2d import write_clips_csv, write_release

from a2d.formats.base import Sample
from common.errors import DatasetError
from pipeline.evaluation.split_scoring import Origin, SplitPredictions, predict_split, report_split, score_split
from pipeline.results import Weights
from pipeline.tagger import ActorActionTagger
from video.clips import read_frames_at
from video.writer import video_writer


@pytest.fixture(scope="module")
def report(taxonomy):
    """Two samples. Said: dog-running of both. True: dog-running; adult-walking and dog-none."""
    actual = np.stack([taxonomy.encode(["dog-running"]), taxonomy.encode(["adult-walking", "dog-none"])])
    said = np.stack([taxonomy.encode(["dog-running"])] * 2)
    training = np.stack([taxonomy.encode([name]) for name in ("dog-none", "dog-none", "dog-running", "adult-walking")])
    predictions = SplitPredictions(said, taxonomy.actors_of(said), actual, ("a", "b"), ())
    origin = Origin("clips.csv", "test", "train", "clip", Weights("d", "t", {}), {"image_size": 224})
    return report_split(origin, predictions, training, taxonomy)


def f1(report, name):
    return report.systems[name].sample_averaged.f1


def test_hand_worked_scores(report):
    assert report.pipeline.sample_averaged.f1 == 0.5
    assert report.pipeline.micro.f1 == pytest.approx(2 * 1 / (2 + 3))
    assert report.gates.sample_averaged.recall == pytest.approx((1 + 0.5) / 2)


def test_trivial_answers(report):
    assert list(report.systems)[0] == "pipeline"
    assert f1(report, "always dog-none") == pytest.approx((0 + 2 / 3) / 2)
    assert f1(report, "all labels") == pytest.approx((2 / 44 + 4 / 45) / 2)
    assert f1(report, "true actors, each one's commonest action") == pytest.approx((0 + 1) / 2)
    assert f1(report, "gates, then each actor's commonest action") == pytest.approx((0 + 2 / 3) / 2)


def test_the_report_can_be_read_by_people_and_programs(report):
    table = report.table()
    assert "clips.csv, split 'test': 2 samples, clip level; commonest labels counted on 'train'" in table
    assert "adult-walking" in table
    assert "cat-eating" not in table, "labels that were neither said nor true only fill the table"
    content = json.loads(json.dumps(report.to_dict()))
    assert content["systems"]["pipeline"]["sample_averaged"]["f1"] == 0.5
    assert content["per_label"]["dog-running"] == {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "said": 2, "true": 1}
    assert content["per_actor"]["dog"]["precision"] == 0.5


@pytest.fixture
def tagger(config):
    return ActorActionTagger.from_config(config)


def test_frames_of_a_release_are_scored_at_frame_level(tagger, tmp_path):
    report = score_split(tagger, write_release(tmp_path), "train")
    assert (report.origin.level, report.origin.baseline_split) == ("frame", "train")
    assert report.pipeline.samples == 4
    assert report.failures == ()


def test_a_labelled_frame_can_be_gated_by_what_is_near_it(config, kit, tmp_path):
    """The cat is in the first seconds of a clip and the dog in the last: each frame knows its own alone."""
    clips = [kit / "clips" / f"{name}.mp4" for name in ("cat-none__yrcong-puff", "dog-none__williamyang1991-dog")]
    images = [read_frames_at(clip, [5]).images[0][:320, :320] for clip in clips]
    path = tmp_path / "both.mp4"
    with video_writer(path, 320, 320, 10) as writer:
        for number in range(40):
            writer.add(np.ascontiguousarray(images[number >= 20]), number / 10, 0.1)
    tagger = ActorActionTagger.from_config(replace(config, cache=None))
    samples = [Sample(path, frame, (label,), "test", "a") for frame, label in ((5, "cat-none"), (35, "dog-none"))]
    cat, dog = (tagger.taxonomy.actor(name).index for name in ("cat", "dog"))
    whole = predict_split(tagger, samples).gated[:, [cat, dog]]
    near = predict_split(tagger, samples, near_seconds=0.5).gated[:, [cat, dog]]
    assert whole.tolist() == [[True, True], [True, True]]
    assert near.tolist() == [[True, False], [False, True]]


def test_clips_of_a_csv_are_scored_at_clip_level_and_an_unreadable_one_counts_as_silence(tagger, tmp_path):
    root = write_clips_csv(tmp_path)
    broken = next(tmp_path.rglob("walker-01*"))
    broken.write_bytes(b"damaged")
    report = score_split(tagger, root, "train")
    assert report.origin.level == "clip"
    assert report.pipeline.samples == 2
    assert len(report.failures) == 1
    assert "walker-01" in report.failures[0]


def test_an_unknown_split_is_refused(tagger, tmp_path):
    data = write_clips_csv(tmp_path)
    with pytest.raises(DatasetError, match="split 'tset'"):
        score_split(tagger, data, "tset")
    with pytest.raises(DatasetError, match="split 'trian'"):
        score_split(tagger, data, "test", "trian")
