"""Scores of a split: counts and trivial baselines computed by hand, and frame-level scoring of a tiny A2D release."""

import json
from dataclasses import replace

import numpy as np
import photo_clips
import pytest
from fake_a2d import write_clips_csv, write_release

from a2d.formats.base import Sample
from common.errors import DatasetError
from pipeline.evaluation.split_report import Origin, SplitPredictions, report_split
from pipeline.evaluation.split_scoring import ScoredSplits, predict_split, score_split
from pipeline.results import Weights
from pipeline.tagger import ActorActionTagger


@pytest.fixture(scope="module")
def report(taxonomy):
    """Two samples. Predicted: dog-running for both. True: dog-running; adult-walking and dog-none."""
    actual = np.stack([taxonomy.encode(["dog-running"]), taxonomy.encode(["adult-walking", "dog-none"])])
    predicted = np.stack([taxonomy.encode(["dog-running"])] * 2)
    training = np.stack([taxonomy.encode([name]) for name in ("dog-none", "dog-none", "dog-running", "adult-walking")])
    predictions = SplitPredictions(predicted, taxonomy.actors_of(predicted), actual, ("a", "b"), ())
    origin = Origin("clips.csv", "test", "train", "clip", Weights("d", "t", {}), {"image_size": 224})
    return report_split(origin, predictions, training, taxonomy)


def f1(report, name):
    return report.systems[name].sample_averaged.f1


def test_scores_computed_by_hand(report):
    assert report.pipeline.sample_averaged.f1 == 0.5
    assert report.pipeline.micro.f1 == pytest.approx(2 * 1 / (2 + 3))
    assert report.gates.sample_averaged.recall == pytest.approx((1 + 0.5) / 2)


def test_trivial_baselines(report):
    assert list(report.systems)[0] == "pipeline"
    assert f1(report, "always dog-none") == pytest.approx((0 + 2 / 3) / 2)
    assert f1(report, "all labels") == pytest.approx((2 / 44 + 4 / 45) / 2)
    assert f1(report, "true actors, each one's commonest action") == pytest.approx((0 + 1) / 2)
    assert f1(report, "gates, then each actor's commonest action") == pytest.approx((0 + 2 / 3) / 2)


def test_the_report_as_a_table_and_as_json(report):
    table = report.table()
    assert "clips.csv, split 'test': 2 samples, clip level; most common labels counted on 'train'" in table
    assert "adult-walking" in table
    assert "cat-eating" not in table, "labels that were neither predicted nor true are left out"
    content = json.loads(json.dumps(report.to_dict()))
    assert content["systems"]["pipeline"]["sample_averaged"]["f1"] == 0.5
    assert content["per_label"]["dog-running"] == {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "said": 2, "true": 1}
    assert content["per_actor"]["dog"]["precision"] == 0.5


@pytest.fixture
def tagger(config):
    return ActorActionTagger.from_config(config)


def test_frames_of_a_release_are_scored_at_frame_level(tagger, tmp_path):
    report = score_split(tagger, ScoredSplits(write_release(tmp_path), "train"))
    assert (report.origin.level, report.origin.baseline_split) == ("frame", "train")
    assert report.pipeline.samples == 4
    assert report.failures == ()


def test_heads_are_given_the_labelled_frame_of_a_sample(tagger, people_and_cat_clip, monkeypatch):
    given = []
    predict_actions = ActorActionTagger.predict_actions

    def record(self, detected, frames, *rest):
        given.append(dict(frames))
        return predict_actions(self, detected, frames, *rest)

    monkeypatch.setattr(ActorActionTagger, "predict_actions", record)
    predict_split(tagger, [Sample(people_and_cat_clip, 3, ("cat-walking",), "test", "a")])
    assert given == [{"person": (3,), "cat": (3,)}]


def test_near_seconds_gates_a_frame_by_the_frames_near_it(config, tmp_path):
    """People are in the first 2 seconds of the clip and a cat in the last 2."""
    images = np.concatenate([photo_clips.pan(scene) for scene in (photo_clips.PEOPLE, photo_clips.CAT)])
    path = photo_clips.write_frames(tmp_path / "both.mp4", images)
    tagger = ActorActionTagger.from_config(replace(config, cache=None))
    labels = ((2, "adult-none"), (13, "cat-none"))
    samples = [Sample(path, frame_index, (label,), "test", "a") for frame_index, label in labels]
    actors = [tagger.taxonomy.actor(name).index for name in ("person", "cat")]
    whole = predict_split(tagger, samples)
    near = predict_split(tagger, samples, near_seconds=0.5)
    assert whole.gated[:, actors].tolist() == [[True, True], [True, True]]
    assert near.gated[:, actors].tolist() == [[True, False], [False, True]]
    assert tagger.taxonomy.actors_of(near.predicted)[:, actors].tolist() == [[True, False], [False, True]]


def test_an_unreadable_clip_of_a_csv_is_scored_without_predictions(tagger, tmp_path):
    root = write_clips_csv(tmp_path)
    broken = next(tmp_path.rglob("walker-01*"))
    broken.write_bytes(b"damaged")
    report = score_split(tagger, ScoredSplits(root, "train"))
    assert report.origin.level == "clip"
    assert report.pipeline.samples == 2
    assert len(report.failures) == 1
    assert "walker-01" in report.failures[0]


def test_an_unreadable_clip_without_labels_is_left_out_of_the_scores(tagger, tmp_path):
    """Otherwise, predicting nothing for it would count as right."""
    path = write_clips_csv(tmp_path)
    next(tmp_path.rglob("walker-01*")).write_bytes(b"damaged")
    text = path.read_text()
    path.write_text(text.replace("adult-walking dog-jumping", ""))
    report = score_split(tagger, ScoredSplits(path, "train"))
    assert report.pipeline.samples == 1
    (skipped,) = report.skipped
    assert skipped.startswith(f"{path}:2: ")
    assert skipped.endswith("unreadable, and it has no labels: left out of the scores")
    assert report.to_dict()["skipped"] == [skipped]


def test_a_missing_clip_is_left_out_of_the_scores(tagger, tmp_path):
    path = write_clips_csv(tmp_path)
    next(tmp_path.rglob("walker-01*")).unlink()
    report = score_split(tagger, ScoredSplits(path, "train"))
    assert (report.pipeline.samples, report.failures) == (1, ())
    assert report.skipped == (f"{path}:2: no such file: {tmp_path}/clips/walker-01.mp4",)
    with pytest.raises(DatasetError, match=r"clips\.csv:2: no such file"):
        score_split(tagger, ScoredSplits(path, "train", strict=True))


def test_strict_scoring_stops_at_an_unreadable_clip(tagger, tmp_path):
    path = write_clips_csv(tmp_path)
    next(tmp_path.rglob("walker-01*")).write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=r"clips\.csv:2: .*walker-01"):
        score_split(tagger, ScoredSplits(path, "train", strict=True))


def test_a_clip_without_labels_is_right_if_nothing_is_predicted(tagger, tmp_path):
    path = write_clips_csv(tmp_path)
    path.write_text(path.read_text().replace("adult-walking dog-jumping", ""))
    report = score_split(tagger, ScoredSplits(path, "train"))
    assert report.pipeline.samples == 2
    assert report.pipeline.sample_averaged.f1 == 0.5, "the detector finds nothing in either clip, and one is empty"
    assert report.gates.sample_averaged.f1 == 0.5


def test_labels_and_actors_without_a_sample_are_named_with_counts(report):
    content = report.to_dict()
    assert len(content["labels_without_samples"]) == 40
    assert "dog-running" not in content["labels_without_samples"]
    assert "40 of 43 labels have no sample in this split; macro averages count each as 0" in report.table()
    *actors, labels = report.warnings()
    assert actors == [
        *(
            f"{name}: 0 of 2 samples show it: misses of its gate are not tested"
            for name in ("ball", "bird", "car", "cat")
        ),
        "dog: 2 of 2 samples show it: false alarms of its gate are not tested",
    ]
    assert labels.startswith("40 of 43 labels have no sample in split 'test': adult-climbing, ")


def test_an_unknown_split_is_refused(tagger, tmp_path):
    data = write_clips_csv(tmp_path)
    with pytest.raises(DatasetError, match="split 'tset'"):
        score_split(tagger, ScoredSplits(data, "tset"))
    with pytest.raises(DatasetError, match="split 'trian'"):
        score_split(tagger, ScoredSplits(data, "test", "trian"))


def test_progress_is_shown_over_the_clips(tagger, tmp_path):
    shown = []

    def progress(items, description, unit, total=None):
        shown.append((len(items), description, unit))
        return items

    score_split(tagger, ScoredSplits(write_release(tmp_path), "train"), progress)
    assert shown == [(2, "scoring", "clip")]
